// Reads the import table of architecture.json: one rule per room, plus "no cycles".
const { rooms } = require('./architecture.json');

const literal = (text) => text.replace(/[/\\^$.*+?()[\]{}|-]/g, '\\$&');

function rulesFor([room, table]) {
  const allowedOurs = [room, ...table.ours].map((name) => `^src/${literal(name)}(/|\\.ts$)`);
  const allowedExternal = table.external.map((name) => `node_modules/(@types/)?${literal(name)}(/|$)`);
  const from = { path: `^src/${literal(room)}/` };
  const typeOnly = (table.oursTypeOnly ?? []).map((name) => `^src/${literal(name)}/`);
  const rules = [
    {
      name: `${room}-imports-its-table`,
      severity: 'error',
      from,
      to: { path: '^src/', pathNot: [...allowedOurs, ...typeOnly] },
    },
    {
      name: `${room}-packages`,
      severity: 'error',
      from,
      to: { path: 'node_modules/', pathNot: allowedExternal, dependencyTypesNot: ['core'] },
    },
  ];
  if (typeOnly.length > 0) {
    rules.push({
      name: `${room}-types-only`,
      severity: 'error',
      from,
      to: { path: typeOnly, dependencyTypesNot: ['type-only'] },
    });
  }
  return rules;
}

module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    { name: 'not-to-test', severity: 'error', from: { path: '^src/' }, to: { path: '^(test|docker)/' } },
    {
      name: 'pure-rooms-do-no-io',
      comment: 'A pure room sees no clock, environment, file or socket; hashing is a function and fine.',
      severity: 'error',
      from: { path: '^src/(model|labels|render|snapshot)/' },
      to: { dependencyTypes: ['core'], pathNot: '^(node:)?(crypto|net|url)$' },
    },
    ...Object.entries(rooms).flatMap(rulesFor),
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
  },
};
