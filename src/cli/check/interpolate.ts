/** `${VARIABLE}` in a stack file, as `docker stack deploy` fills it in. */

export interface Interpolated {
  readonly text: string;
  /** Names without a value and without a default: Docker puts nothing in their place, or refuses the file where `:?` says so. */
  readonly unset: readonly string[];
}

const REFERENCE =
  /\$(?:\$|([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)(?:(:?[-?+])((?:[^{}]|\{[^{}]*\})*))?\})/g;
/** A default may hold a variable of its own, which may have a default. */
const MAX_DEPTH = 8;

export function interpolate(text: string, env: Readonly<Record<string, string | undefined>>, depth = 0): Interpolated {
  const unset: string[] = [];
  const filled = text.replace(
    REFERENCE,
    (whole, bare?: string, braced?: string, operator?: string, written?: string) => {
      const word = written ?? '';
      const name = bare ?? braced;
      if (name === undefined) {
        return '$';
      }
      const value = env[name];
      const missing = value === undefined || (value === '' && operator?.startsWith(':') === true);
      if (operator?.endsWith('+') === true) {
        return missing ? '' : inner();
      }
      if (missing && operator?.endsWith('-') === true) {
        return inner();
      }
      if (missing) {
        unset.push(name);
      }
      return value ?? '';

      function inner(): string {
        if (depth >= MAX_DEPTH) {
          return whole;
        }
        const result = interpolate(word, env, depth + 1);
        unset.push(...result.unset);
        return result.text;
      }
    },
  );
  return { text: filled, unset };
}
