/**
 * What core knows of each extension right now, shared by its rooms: written by one room each, read by all.
 *
 *   revise  -> model      the newest revision of the cluster's model
 *   serve   -> rendered   what the extension made of it
 *   publish -> published  what Swarm was brought onto
 */
import type { ConfigArtifact } from '../model/artifact.ts';
import type { Requirements } from '../model/cluster.ts';
import type { Finding } from '../model/finding.ts';
import type { RevisedModel, Revision } from '../model/revision.ts';
import { type Cell, createCell } from '../runtime/cell.ts';
import type { ExtensionSettings } from '../settings/core-settings.ts';

export interface Rendered {
  readonly revision: Revision;
  readonly artifact: ConfigArtifact;
  readonly requirements: Requirements;
}

export interface Refused {
  readonly revision: Revision;
  readonly reason: string;
}

/** The last artifact that all proxies were told to serve. */
export interface Published {
  readonly artifactDigest: string;
  readonly configName: string;
}

export interface ExtensionBoard {
  readonly settings: ExtensionSettings;
  readonly model: Cell<RevisedModel>;
  readonly rendered: Cell<Rendered>;
  readonly refused: Cell<Refused | null>;
  readonly published: Cell<Published>;
}

/** Where a finding comes from: a new set from one source replaces that source's old one. */
export type FindingSource = 'settings' | 'routing' | `extension ${string}` | `publish ${string}`;

export interface Board {
  readonly extensions: ReadonlyMap<string, ExtensionBoard>;
  setFindings(source: FindingSource, findings: readonly Finding[]): void;
  findings(): readonly Finding[];
}

/** `onNew` and `onGone` hear of each finding once per change. */
export interface FindingListener {
  onNew(finding: Finding): void;
  onGone(finding: Finding): void;
}

export function createBoard(
  extensions: readonly ExtensionSettings[],
  keyOf: (finding: Finding) => string,
  listener: FindingListener,
): Board {
  const bySource = new Map<FindingSource, ReadonlyMap<string, Finding>>();
  return {
    extensions: new Map(extensions.map((settings) => [settings.name, createExtensionBoard(settings)])),
    setFindings(source, findings) {
      const before = bySource.get(source) ?? new Map<string, Finding>();
      const after = new Map(findings.map((finding) => [keyOf(finding), finding]));
      bySource.set(source, after);
      for (const [key, finding] of after) {
        if (!before.has(key)) {
          listener.onNew(finding);
        }
      }
      for (const [key, finding] of before) {
        if (!after.has(key)) {
          listener.onGone(finding);
        }
      }
    },
    findings: () => [...bySource.values()].flatMap((findings) => [...findings.values()]),
  };
}

function createExtensionBoard(settings: ExtensionSettings): ExtensionBoard {
  return {
    settings,
    model: createCell(),
    rendered: createCell(),
    refused: createCell<Refused | null>(null),
    published: createCell(),
  };
}
