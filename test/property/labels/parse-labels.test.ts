import fc from 'fast-check';
import { expect, it } from 'vitest';
import { LABEL_NAMES, LABEL_PREFIX } from '../../../src/labels/label-table.ts';
import { parseLabels } from '../../../src/labels/parse-labels.ts';
import { service } from '../../support/snapshots.ts';

/** Text that a person, a template or an attacker might write. */
const values = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string(),
  fc.domain(),
  fc.integer().map(String),
  fc.constantFrom(
    '',
    'true',
    'false',
    '/app',
    '/',
    'http://a.local,https://a.local',
    '10s',
    'required',
    'vip',
    'bridge',
  ),
  fc
    .array(fc.constantFrom('a.local', 'http://a.local', ',', ';', '/', ' ', '*', '.', '{', '}', '$', '\\', '"', '\n'))
    .map((parts) => parts.join('')),
);

const names = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(...LABEL_NAMES).map((name) => LABEL_PREFIX + name) },
  { weight: 1, arbitrary: fc.string({ maxLength: 20 }).map((name) => LABEL_PREFIX + name) },
  { weight: 1, arbitrary: fc.string({ maxLength: 20 }) },
);

const labels = fc.dictionary(names, values, { maxKeys: 12 });
it('never throws, and whatever has no intent says why', () => {
  fc.assert(
    fc.property(labels, labels, (own, onContainers) => {
      const outcome = parseLabels(service({ labels: own, containerLabels: onContainers }));
      if (outcome.kind === 'unusable') {
        expect(outcome.findings.length).toBeGreaterThan(0);
      }
      if (outcome.kind !== 'not-ours') {
        expect(outcome.findings.every(({ subject, service: name }) => subject !== undefined && name === 'demo')).toBe(
          true,
        );
      }
    }),
  );
});

it('the order of labels does not matter', () => {
  fc.assert(
    fc.property(labels, (own) => {
      const reversed = Object.fromEntries(Object.entries(own).reverse());
      expect(parseLabels(service({ labels: reversed }))).toEqual(parseLabels(service({ labels: own })));
    }),
  );
});

it('no character that means something to NGINX gets into an intent', () => {
  fc.assert(
    fc.property(labels, (own) => {
      const outcome = parseLabels(service({ labels: own }));
      if (outcome.kind === 'intent') {
        // These two are compared with names of Swarm and of config.toml, and never reach the file.
        const rest = { ...outcome.intent, serviceCluster: '', network: '' };
        expect(textsOf(rest).filter((text) => !/^[^\s"';{}$\\`\p{C}]*$/u.test(text))).toEqual([]);
      }
    }),
    { numRuns: 500 },
  );
});

it('a label that is good alone stays good beside nonsense', () => {
  fc.assert(
    fc.property(labels, (nonsense) => {
      const own = {
        ...nonsense,
        [`${LABEL_PREFIX}hosts`]: 'demo.local',
        [`${LABEL_PREFIX}port`]: '8080',
        [`${LABEL_PREFIX}network`]: 'web',
        [`${LABEL_PREFIX}service_cluster`]: '',
        [`${LABEL_PREFIX}context_root`]: '/',
      };
      expect(parseLabels(service({ labels: own }))).toMatchObject({
        kind: 'intent',
        intent: { hosts: ['demo.local'], port: 8080, network: { kind: 'named', name: 'web' } },
      });
    }),
  );
});

function textsOf(value: unknown): readonly string[] {
  if (typeof value === 'string') {
    return [value];
  }
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsOf) : [];
}
