# Built in one image, run in another: the compiler and the tests' tools stay behind.
# npm run test:image gives a base of its own.
ARG BASE=node:26-bookworm-slim
FROM ${BASE} AS build
WORKDIR /app
COPY package.json package-lock.json tsconfig.json tsconfig.build.json ./
COPY src ./src
# npm ci builds, through the “prepare” script.
RUN npm ci && npm prune --omit=dev

FROM ${BASE} AS agent
ENV NODE_ENV=production
ENV AGENT_PLATFORM=docker
WORKDIR /app
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json LICENSE ./
COPY bin ./bin
COPY migrations ./migrations
COPY views ./views
# The embedded store and its key; mount a volume here, or name a Postgres in DATABASE_URL. No VOLUME: Railway refuses it.
RUN mkdir data && chown node:node data
USER node
EXPOSE 3000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT || 3000}/healthz`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "bin/token-agent.js", "serve"]

# Where a new volume belongs to root, as on Fly: its owner is changed first, and the agent is no more root than above.
FROM agent AS volume-of-root
USER root
ENTRYPOINT ["sh", "-c", "chown -R node:node /app/data && exec setpriv --reuid=node --regid=node --init-groups \"$@\"", "--"]
CMD ["node", "bin/token-agent.js", "serve"]

# What “docker build .” makes.
FROM agent
