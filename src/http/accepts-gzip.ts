/** By `Accept-Encoding`: named, or by `*`, and not with a quality of 0. https://www.rfc-editor.org/rfc/rfc9110#field.accept-encoding */
export function acceptsGzip(header: string | string[] | undefined): boolean {
  return typeof header === 'string' && /(?:^|,)\s*(?:gzip|\*)\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$))[\d.]+\s*)?(?:,|$)/i.test(header)
}
