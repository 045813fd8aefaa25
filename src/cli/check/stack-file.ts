/**
 * A stack file to what routing depends on: labels, networks, ports and secrets of each service, with their places.
 * In: the file's text and the variables. Out: a StackFile and remarks about what `docker stack deploy` would not take. Pure.
 */
import { LABEL_PREFIX } from '../../labels/label-table.ts';
import type { TextPosition } from '../../settings/problem.ts';
import { interpolate } from './interpolate.ts';
import type { Remark } from './remark.ts';
import { type Branch, readYaml, type Word } from './yaml-tree.ts';

export interface StackFile {
  readonly file: string;
  readonly services: readonly StackService[];
  /** By the key that services use. */
  readonly networks: ReadonlyMap<string, Declared>;
  readonly secrets: ReadonlyMap<string, Declared>;
}

/** A network or secret of the file. */
export interface Declared {
  /** `undefined`: Docker makes it, and puts the stack's name before the key. */
  readonly name: string | undefined;
}

export interface StackService {
  readonly name: string;
  readonly at: TextPosition | undefined;
  readonly labels: ReadonlyMap<string, PlacedText>;
  readonly containerLabels: ReadonlyMap<string, PlacedText>;
  /** Keys of the file's networks, `default` among them. */
  readonly networks: readonly string[];
  readonly ports: readonly StackPort[];
  readonly replicas: number | 'global' | 'job';
  readonly endpointMode: 'vip' | 'dnsrr';
}

export interface PlacedText {
  readonly text: string;
  readonly at: TextPosition | undefined;
}

export interface StackPort {
  readonly target: number;
  readonly published: number | undefined;
  readonly mode: 'ingress' | 'host';
  readonly protocol: 'tcp' | 'udp' | 'sctp';
}

export interface ReadStack {
  /** `undefined`: the remarks say why. */
  readonly stack: StackFile | undefined;
  readonly remarks: readonly Remark[];
}

export type Variables = Readonly<Record<string, string | undefined>>;

export function readStack(file: string, text: string, env: Variables): ReadStack {
  const tree = readYaml(text);
  if (!tree.ok) {
    return { stack: undefined, remarks: [unreadable(file, `No YAML: ${tree.message}`, tree.at)] };
  }
  const services = tree.root.get('services');
  if (services.kind !== 'map') {
    const words = 'No stack file: it has no table "services". For config.toml say --kind config.';
    return { stack: undefined, remarks: [unreadable(file, words, services.at ?? tree.root.at)] };
  }
  const reader = createReader(file, env);
  const networks = reader.declared(tree.root.get('networks'));
  const read = services.entries().map(({ key, at, value }) => reader.service({ name: key, at, body: value, networks }));
  const secrets = reader.declared(tree.root.get('secrets'));
  return { stack: { file, services: read, networks, secrets }, remarks: reader.remarks };
}

export function unreadable(file: string, message: string, at?: TextPosition): Remark {
  return { ...BLANK, file, at, severity: 'error', code: 'CHECK.UNREADABLE', message };
}

const BLANK = { service: undefined, subject: undefined, value: undefined } as const;

interface ServiceText {
  readonly name: string;
  readonly at: TextPosition | undefined;
  readonly body: Branch;
  readonly networks: ReadonlyMap<string, Declared>;
}

function createReader(file: string, env: Variables) {
  const remarks: Remark[] = [];
  const say = (remark: Omit<Remark, 'file' | 'value'>) => remarks.push({ file, value: undefined, ...remark });

  /** Text with its variables filled in, quietly: only what a label lacks is worth a remark. */
  const fill = (branch: Branch) => interpolate(branch.text, env).text.trim();

  function declared(table: Branch): ReadonlyMap<string, Declared> {
    return new Map(
      table.entries().map(({ key, value }) => {
        const external = value.get('external');
        const outside = external.kind === 'map' || external.text === 'true';
        const name = fill(value.get('name')) || fill(external.get('name'));
        return [key, { name: name === '' ? (outside ? key : undefined) : name }] as const;
      }),
    );
  }

  function service({ name, at, body, networks }: ServiceText): StackService {
    const deploy = body.get('deploy');
    const labels = labelsOf(name, deploy.get('labels'), true);
    misplaced(name, body);
    return {
      ...{ name, at, labels },
      containerLabels: labelsOf(name, body.get('labels'), false),
      networks: networksOf(name, body, networks),
      ports: body
        .get('ports')
        .items()
        .flatMap((port) => portOf(port)),
      replicas: replicasOf(deploy),
      endpointMode: fill(deploy.get('endpoint_mode')) === 'dnsrr' ? 'dnsrr' : 'vip',
    };
  }

  /** Both forms: a map, or a list of `name=value`. */
  function labelsOf(service: string, branch: Branch, checked: boolean): ReadonlyMap<string, PlacedText> {
    const found = new Map<string, PlacedText>();
    for (const { key, at, value } of branch.entries()) {
      if (checked && isOurs(key) && (value.kind === 'flag' || value.kind === 'map' || value.kind === 'list')) {
        say({
          ...{ service, subject: key, at: value.at ?? at, severity: 'error', code: 'STACK.LABEL_TYPE' },
          message: `\`docker stack deploy\` takes text and numbers only: write it in quotes${value.kind === 'flag' ? `, "${value.text}"` : ''}.`,
        });
      }
      found.set(key, { text: filled({ service, label: key, checked }, value.text, value.at), at });
    }
    for (const item of branch.items()) {
      const [key = '', ...rest] = item.text.split('=');
      found.set(key, { text: filled({ service, label: key, checked }, rest.join('='), item.at), at: item.at });
    }
    return found;
  }

  interface About {
    readonly service: string;
    readonly label: string;
    readonly checked: boolean;
  }

  function filled({ service, label, checked }: About, raw: string, at: TextPosition | undefined): string {
    const { text, unset, invalid } = interpolate(raw, env);
    if (!checked || !isOurs(label)) {
      return text;
    }
    if (invalid) {
      say({
        ...{ service, subject: label, at, severity: 'error', code: 'STACK.VARIABLE_INVALID' },
        message:
          'A "$" here begins no variable that Docker knows: a name, or in braces a name with :-default or :?words. Write $$ for a plain one.',
      });
    }
    for (const name of new Set(unset)) {
      say({
        ...{ service, subject: label, at, severity: 'warn', code: 'STACK.VARIABLE_UNSET' },
        message: `${name} has no value here, and no default. Set it as the deploy does, or write \${${name}:-default}.`,
      });
    }
    return text;
  }

  /** Labels of ours anywhere in the service but in its two places for labels. */
  function misplaced(service: string, body: Branch): void {
    const strays = body.words().filter((word) => isOurs(word.text) && !isPlaceOfLabels(word));
    const [first] = strays;
    if (first !== undefined) {
      const where = first.path.filter((part) => part !== first.text).join('.');
      say({
        ...{ service, subject: nameOf(first.text), at: first.at, severity: 'error', code: 'STACK.LABEL_MISPLACED' },
        message: `Nothing reads labels${where === '' ? ' beside the keys of a service' : ` under "${where}"`}: move ${strays.length === 1 ? 'it' : 'them'} to "labels" under "deploy".`,
      });
    }
  }

  function networksOf(service: string, body: Branch, declaredHere: ReadonlyMap<string, Declared>): readonly string[] {
    const branch = body.get('networks');
    const named = [
      ...branch.entries().map(({ key, at }) => ({ key, at })),
      ...branch.items().map((item) => ({ key: item.text, at: item.at })),
    ];
    for (const { key, at } of named) {
      if (key !== 'default' && !declaredHere.has(key)) {
        say({
          ...{ service, subject: undefined, at, severity: 'error', code: 'STACK.NETWORK_UNDECLARED' },
          message: `The network "${key}" is not under "networks" of the file: declare it there, with "external: true" if it exists already.`,
        });
      }
    }
    return named.length === 0 ? ['default'] : named.map(({ key }) => key);
  }

  function portOf(port: Branch): readonly StackPort[] {
    if (port.kind === 'map') {
      const target = Number(fill(port.get('target')));
      const published = Number(fill(port.get('published')));
      return Number.isInteger(target) && target > 0
        ? [
            {
              target,
              published: Number.isInteger(published) && published > 0 ? published : undefined,
              mode: fill(port.get('mode')) === 'host' ? 'host' : 'ingress',
              protocol: protocolOf(fill(port.get('protocol'))),
            },
          ]
        : [];
    }
    return shortPorts(fill(port));
  }

  function replicasOf(deploy: Branch): StackService['replicas'] {
    const mode = fill(deploy.get('mode'));
    if (mode === 'global' || mode.endsWith('-job')) {
      return mode === 'global' ? 'global' : 'job';
    }
    const replicas = Number(fill(deploy.get('replicas')) || '1');
    return Number.isInteger(replicas) && replicas >= 0 ? replicas : 1;
  }

  return { remarks, declared, service };
}

function isOurs(text: string): boolean {
  return text.startsWith(LABEL_PREFIX);
}

function nameOf(text: string): string {
  return text.split('=', 1)[0] ?? text;
}

function isPlaceOfLabels({ path }: Word): boolean {
  return path[0] === 'labels' || (path[0] === 'deploy' && path[1] === 'labels');
}

const LONGEST_RANGE = 100;

/** `80`, `8080:80`, `127.0.0.1:8080:80/tcp`, `8000-8002:9000-9002`: always in ingress mode. */
function shortPorts(text: string): readonly StackPort[] {
  const [, first, last = first, protocol = ''] = /(?:^|:)(\d{1,5})(?:-(\d{1,5}))?(?:\/(\w+))?$/.exec(text) ?? [];
  const length = Number(last) - Number(first) + 1;
  return length >= 1 && length <= LONGEST_RANGE
    ? Array.from({ length }, (_, at) => ({
        ...{ target: Number(first) + at, published: undefined, mode: 'ingress' as const },
        protocol: protocolOf(protocol),
      }))
    : [];
}

function protocolOf(text: string): StackPort['protocol'] {
  return text === 'udp' || text === 'sctp' ? text : 'tcp';
}
