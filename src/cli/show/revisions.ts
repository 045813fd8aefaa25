/** Stored routes, and what differs between two, as people read them. */
import type { OptionChange, RouteChange } from '../../model/routes.ts';
import type { ClusterHistory, NameList, PinView, RouteRevision } from '../../wire/revisions.ts';
import { type Cell, clusterName, type Paint, plain, table } from './text.ts';

/** As many characters of a digest as people compare by eye. */
const SHOWN_DIGEST = 8;

/** `2026-11-21 07:10:03Z` */
export function timeText(ms: number): string {
  return new Date(ms).toISOString().replace('T', ' ').replace(/\.\d+/, '');
}

export function historyLines({ serviceCluster, revisions, pin }: ClusterHistory, paint: Paint): readonly string[] {
  const head = paint('strong', `cluster ${clusterName(serviceCluster)}`);
  const pinned = pin === undefined ? [] : [paint('warn', `  pinned to revision ${pinText(pin)}`)];
  if (revisions.length === 0) {
    return [head, ...pinned, '  nothing was routed yet'];
  }
  const rows: (readonly (string | Cell)[])[] = revisions.map((revision) => rowOf(revision, pin !== undefined));
  const lines = table([['REV', 'DIGEST', 'SINCE', 'IS', 'CHANGED'], ...rows], paint);
  return [head, ...pinned, ...lines.map((line) => `  ${line}`)];
}

export function pinText({ revision, digest, sinceMs }: PinView): string {
  return `${revision} (${digest.slice(0, SHOWN_DIGEST)}) since ${timeText(sinceMs)}`;
}

function rowOf(revision: RouteRevision, isPinned: boolean): readonly (string | Cell)[] {
  const { number, digest, atMs, served, live } = revision;
  const words = [served && (isPinned ? 'pinned' : 'served'), live && !served && 'live'].filter(Boolean).join(' ');
  return [
    number === 0 ? '-' : String(number),
    digest.slice(0, SHOWN_DIGEST),
    number === 0 ? 'not stored yet' : timeText(atMs),
    { text: words, tone: served ? (isPinned ? 'warn' : 'good') : undefined },
    changedText(revision),
  ];
}

/** E.g. `+shop ~api -old`. */
export function changedText({ added, changed, removed }: Pick<RouteRevision, 'added' | 'changed' | 'removed'>): string {
  return [listText('+', added), listText('~', changed), listText('-', removed)].filter((part) => part !== '').join(' ');
}

function listText(sign: string, { count, names }: NameList): string {
  const more = count - names.length;
  const shown = names.map((name) => `${sign}${name}`).join(' ');
  return more > 0 ? `${shown} ${sign}(${more} more)` : shown;
}

/** `revision 12 (ab12cd34)`, `what the labels ask for (ab12cd34)` */
export function revisionText({ number, digest }: RouteRevision): string {
  return `${number === 0 ? 'what the labels ask for' : `revision ${number}`} (${digest.slice(0, SHOWN_DIGEST)})`;
}

const MOST_CHANGES = 200;

/** One line for each route. */
export function changeLines(changes: readonly RouteChange[], paint: Paint): readonly string[] {
  const lines = changes.slice(0, MOST_CHANGES).map((change) => changeLine(change, paint));
  const more = changes.length - lines.length;
  return more > 0 ? [...lines, `  ${more} more; all of them with --json`] : lines;
}

const SIGNS = { added: '+', removed: '-', changed: '~' } as const;
const TONES = { added: 'good', removed: 'bad', changed: 'warn' } as const;

function changeLine({ kind, host, path, service, options }: RouteChange, paint: Paint): string {
  const where = `${host === '' ? '(any other host)' : host}${path}`;
  const what = options.map((option) => optionText(kind, option)).join(', ');
  return `${paint(TONES[kind], SIGNS[kind])} ${plain(where)}  ${plain(service)}${what === '' ? '' : `  ${plain(what)}`}`;
}

function optionText(kind: RouteChange['kind'], { name, before, after }: OptionChange): string {
  return kind === 'changed'
    ? `${name}: ${before === '' ? 'not set' : before} -> ${after === '' ? 'not set' : after}`
    : `${name}=${after === '' ? before : after}`;
}

/** ` --cluster NAME`, where it has to be said. */
export function clusterOption(serviceCluster: string): string {
  return serviceCluster === '' ? '' : ` --cluster ${plain(serviceCluster)}`;
}
