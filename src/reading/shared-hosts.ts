import type { AllowList } from './allow-list.ts'

/**
 * Hosts under which anyone can get a name, missing from the public suffix list (2026-11), because only a host's owner can
 * add it: https://github.com/publicsuffix/list/pull/2969 does so for Weebly. Source of each: the address that the service
 * gives a new site, such as https://support.squarespace.com/hc/en-us/articles/206541717.
 */
const SHARED_HOSTS = new Set(
  `squarespace.com wordpress.com home.blog art.blog photo.blog wpcomstaging.com tumblr.com weebly.com weeblysite.com
  square.online square.website typepad.com livejournal.com over-blog.com canalblog.com livedoor.jp substack.com medium.com
  ghost.io beehiiv.com hashnode.dev writeas.com mataroa.blog micro.blog posthaven.com blot.im jimdofree.com jimdosite.com
  jimdo.com cargo.site strikingly.com mystrikingly.com site123.me webnode.com webnode.page jouwweb.nl webador.com webs.com
  homestead.com bravesites.com webstarts.com ueniweb.com mozello.com ucraft.net multiscreensite.com tilda.ws readymag.com
  readymag.website softr.app super.site dorik.io brizy.site durable.co mydurable.com canva.site simdif.com e-monsite.com
  zyrosite.com hostingersite.com 000webhostapp.com infinityfreeapp.com epizy.com rf.gd great-site.net wuaze.com awardspace.com
  atwebpages.com neocities.org tripod.com angelfire.com free.fr pagesperso-orange.fr godaddysites.com mailchimpsites.com
  hs-sites.com hubspotpagebuilder.com zohosites.com zohosites.eu odoo.com wpengine.com kinsta.cloud kinsta.page
  cloudwaysapps.com flywheelsites.com myflywheel.com instawp.xyz instawp.co tastewp.com wpsandbox.net format.com pixieset.com
  smugmug.com zenfolio.com portfoliobox.net myportfolio.com bandcamp.com bigcartel.com mybigcommerce.com shoplightspeed.com
  storenvy.com ecwid.com company.site myshoplaza.com creator-spring.com fourthwall.com printify.me myonlinestore.com
  sumupstore.com etsy.com gumroad.com podia.com teachable.com thinkific.com mykajabi.com circle.so mn.co memberful.com
  systeme.io clickfunnels.com myclickfunnels.com unbouncepages.com pagedemo.co ck.page typeform.com taplink.ws itch.io
  fandom.com pbworks.com glitch.me codepen.io codesandbox.io stackblitz.io webcontainer.io edgeone.app koyeb.app railway.app
  cyclic.app tiiny.site static.app vev.site b-cdn.net kxcdn.com stackpathcdn.com googleusercontent.com loca.lt serveo.net
  lhr.life pagekite.me`.split(/\s+/),
)

/** Origins shared by the pages of all users, at different paths, or by all apps, as Capacitor and Tauri do on a phone. */
const SHARED_ORIGINS = new Set(
  `https://sites.google.com https://docs.google.com https://storage.googleapis.com https://s3.amazonaws.com https://medium.com
  https://codepen.io https://cdpn.io https://jsbin.com https://output.jsbin.com https://jsfiddle.net https://fiddle.jshell.net
  https://raw.githack.com https://rawcdn.githack.com https://htmlpreview.github.io https://cdn.jsdelivr.net https://unpkg.com
  https://web.archive.org https://ipfs.io https://linktr.ee https://notion.so https://www.notion.so https://localhost
  http://localhost https://tauri.localhost http://tauri.localhost`.split(/\s+/),
)
const BELOW = [...SHARED_HOSTS, ...[...SHARED_ORIGINS].map((origin) => origin.replace(/^https?:\/\//, ''))]
const REFUSED_NEXT = 'name your own host: the next release refuses this entry'

/** One sentence for each entry under which strangers can publish pages. */
export function sharedHostWarnings({ exact, wildcards }: AllowList): string[] {
  const warnings = [...wildcards].flatMap((origin) => {
    const { hostname } = new URL(origin)
    const shared = SHARED_HOSTS.has(hostname) ? hostname : BELOW.find((host) => host.endsWith(`.${hostname}`))
    return shared === undefined
      ? []
      : [`\`*.${hostname}\` allows everybody’s site under ${shared}, where anybody can make one and read the token; ${REFUSED_NEXT}`]
  })
  for (const origin of exact) {
    if (SHARED_ORIGINS.has(origin))
      warnings.push(
        `\`${origin}\` is the origin of other people’s pages or apps too, which can read the token; ${origin.includes('localhost') ? 'take it off the list after the trial' : 'use a host of your own'}`,
      )
  }
  return warnings
}
