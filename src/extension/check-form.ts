/**
 * The form of an artifact that NGINX can test outside of a proxy: secrets and the proxy's own folders are not there.
 * Every change stays within its line, so line numbers in NGINX's words are those of the real file.
 */
import type { ArtifactFile } from '../model/artifact.ts';

/** Where the pieces lie for one check. */
export interface CheckPlaces {
  /** A temporary folder of this check. */
  readonly folder: string;
  /** A certificate with its key, in PEM. */
  readonly certificate: string;
  /** Stands in for the proxy's cache folder. */
  readonly cache: string;
  /** Takes what NGINX says. */
  readonly words: string;
}

export interface CheckFile {
  /** Where it must be written. */
  readonly path: string;
  readonly text: string;
}

/** The proxy's tmpfs for NGINX's temporary files. */
const PROXY_CACHE = '/var/cache/nginx';

/** Directives that load a certificate or key when the file is read. */
const LOADS_PEM =
  /(?<=^|[\s;{}])((?:proxy_|grpc_|uwsgi_)?ssl_(?:certificate|certificate_key|trusted_certificate|client_certificate)[ \t]+)[^;\n]+;/g;

/** A file that the proxy has and the extension has not; parameters of its own kind, so no stand-in would do. */
const LOADS_DHPARAM = /(?<=^|[\s;{}])ssl_dhparam[ \t]+[^;\n]+;/g;

export function placesIn(folder: string): CheckPlaces {
  return { folder, certificate: `${folder}/check.pem`, cache: `${folder}/cache`, words: `${folder}/words` };
}

/** In the order of `files`. */
export function checkForm(files: readonly ArtifactFile[], places: CheckPlaces): readonly CheckFile[] {
  const moves = movesOf(files, places);
  return files.map((file) => ({
    path: movedPath(file.path, moves),
    text: moved(Buffer.from(file.bytes).toString(), moves)
      .replace(LOADS_PEM, `$1${places.certificate};`)
      .replace(LOADS_DHPARAM, ''),
  }));
}

/** Time and process id at the head of a line of NGINX's: equal files shall give equal words. */
const TIME_AND_PROCESS = /^\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d (\[\w+\]) \d+#\d+: /gm;

/** NGINX's words about the check form, as if they were about the real files. */
export function realWords(words: string, files: readonly ArtifactFile[], places: CheckPlaces): string {
  const plain = words.replace(TIME_AND_PROCESS, '$1 ');
  return movesOf(files, places).reduce((text, { from, to }) => text.replaceAll(to, from), plain);
}

export function movedMainPath(mainPath: string, files: readonly ArtifactFile[], places: CheckPlaces): string {
  return movedPath(mainPath, movesOf(files, places));
}

interface Move {
  readonly from: string;
  readonly to: string;
}

/** Longest path first, so that a path which is the beginning of another does not take its place. */
function movesOf(files: readonly ArtifactFile[], { folder, cache }: CheckPlaces): readonly Move[] {
  const moves = files.map(({ path }, index) => ({ from: path, to: `${folder}/file-${index}.conf` }));
  return [...moves, { from: PROXY_CACHE, to: cache }].sort((a, b) => b.from.length - a.from.length);
}

function moved(text: string, moves: readonly Move[]): string {
  return moves.reduce((result, { from, to }) => result.replaceAll(from, to), text);
}

function movedPath(path: string, moves: readonly Move[]): string {
  return moves.find(({ from }) => from === path)?.to ?? path;
}
