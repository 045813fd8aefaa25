/** `?filters={"label":["a=b"]}` (or `{"label":{"a=b":true}}`) over one kind of object. */
import { Refusal } from './raw.ts';

/** Values of one filter are alternatives; label values must all hold, as in the Engine. */
export type Filter<Item> = (item: Item, value: string) => boolean;

export function filterBy<Item>(
  items: Iterable<Item>,
  text: string | null,
  known: Readonly<Record<string, Filter<Item>>>,
): readonly Item[] {
  const wanted = parseFilters(text);
  const unknown = Object.keys(wanted).find((name) => known[name] === undefined);
  if (unknown !== undefined) {
    throw new Refusal(501, `the fake engine does not know the filter '${unknown}' here`);
  }
  return [...items].filter((item) =>
    Object.entries(wanted).every(([name, values]) => {
      const holds = (value: string) => known[name]?.(item, value) ?? false;
      return name === 'label' ? values.every(holds) : values.length === 0 || values.some(holds);
    }),
  );
}

export function parseFilters(text: string | null): Readonly<Record<string, readonly string[]>> {
  if (text === null || text === '') {
    return {};
  }
  const raw = parseObject(text);
  return Object.fromEntries(
    Object.entries(raw).map(([name, values]) => [
      name,
      Array.isArray(values) ? values.map(String) : Object.keys(Object(values) as object),
    ]),
  );
}

function parseObject(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    throw new Refusal(400, 'invalid filter'); // the Engine's own words for it
  }
}

/** `key` or `key=value`. */
export function hasLabel(labels: Readonly<Record<string, string>> | null | undefined, wanted: string): boolean {
  const [key = '', ...value] = wanted.split('=');
  const actual = labels?.[key];
  return actual !== undefined && (value.length === 0 || actual === value.join('='));
}
