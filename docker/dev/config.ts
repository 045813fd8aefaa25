/** docker/dev/config.toml with the images, ports and nodes of one `up` in it. Text to text. */
import type { ImageNames } from './images.ts';
import { StepFailure } from './report.ts';

export interface ConfigWishes {
  readonly images: Pick<ImageNames, 'extension' | 'proxy'>;
  readonly port: number;
  readonly tlsPort: number;
  /** Where the images are, when the Swarm has other nodes too; no registry has them. */
  readonly constraint: string | undefined;
}

/** Throws when the file lacks one of the lines: the two files belong together. */
export function fillConfig(text: string, { images, port, tlsPort, constraint }: ConfigWishes): string {
  const constraints = JSON.stringify(constraint === undefined ? [] : [constraint]);
  const values: Readonly<Record<string, string>> = {
    Image: JSON.stringify(images.extension),
    ProxyImage: JSON.stringify(images.proxy),
    PublishedPort: String(port),
    PublishedSSLPort: String(tlsPort),
    Constraints: constraints,
    ProxyConstraints: constraints,
  };
  return Object.entries(values).reduce((filled, [key, value]) => setKey(filled, key, value), text);
}

function setKey(text: string, key: string, value: string): string {
  const line = new RegExp(`^([ \\t]*)${key}[ \\t]*=.*$`, 'gm');
  if (text.match(line)?.length !== 1) {
    throw new StepFailure(
      `docker/dev/config.toml needs exactly one line "${key} = ..."`,
      `Write the line again, in this form; npm run up puts its own ${key} there. git diff docker/dev/config.toml shows your edits.`,
    );
  }
  return text.replace(line, (_, indent: string) => `${indent}${key} = ${value}`);
}
