/** The original's image names, and ours that play the same role. */

export type ImageRole = 'extension' | 'proxy';

/** What we run where a file names one of the original's images, or none. */
export type OurImages = Readonly<Record<ImageRole, string>>;

export const OUR_IMAGES: OurImages = { extension: 'interlock/extension:dev', proxy: 'interlock/proxy:dev' };

/**
 * `docker/ucp-interlock-*` and `mirantis/ucp-interlock-*` of every version, and the preview's names, with or without Docker Hub's host,
 * tag and digest. The preview had no proxy image of its own: its files name plain NGINX images, which we leave alone.
 */
const ORIGINAL =
  /^(?:(?:index\.)?docker\.io\/)?(?:(?:docker|mirantis)\/ucp-interlock-(?<ucp>extension|proxy)|interlockpreview\/interlock-(?<preview>extension|proxy)(?:-nginx)?)(?:$|[:@])/;

/** Our image of the same role, or `undefined` when `image` is not one of the original's. The role is the image's own, not the key's. */
export function ourImageFor(image: string, ours: OurImages): string | undefined {
  const { ucp, preview } = ORIGINAL.exec(image)?.groups ?? {};
  const role = ucp ?? preview;
  return role === undefined ? undefined : ours[role as ImageRole];
}

/** `interlock-extension-haproxy`, `ucp-interlock-haproxy`, plain `haproxy`, of any registry and version. */
export function isHaproxyImage(image: string): boolean {
  return /(?:^|[/-])haproxy(?:$|[:@])/.test(image);
}
