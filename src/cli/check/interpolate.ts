/** `${VARIABLE}` in a stack file, as `docker stack deploy` fills it in (docker/cli, `cli/compose/template`): no nesting, no `:+`. */

export interface Interpolated {
  readonly text: string;
  /** Names without a value and without a default: Docker puts nothing in their place, or refuses the file where `:?` says so. */
  readonly unset: readonly string[];
  /** A `$` that begins nothing: Docker refuses the file. */
  readonly invalid: boolean;
}

const REFERENCE = /\$(?:(\$)|([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)(?:(:?[-?])([^}]*))?\}|)/g;

export function interpolate(text: string, env: Readonly<Record<string, string | undefined>>): Interpolated {
  const unset: string[] = [];
  const strays: string[] = [];
  const filled = text.replace(
    REFERENCE,
    (whole, escaped?: string, bare?: string, braced?: string, operator?: string, word?: string) => {
      const name = bare ?? braced;
      if (escaped !== undefined || name === undefined) {
        strays.push(...(escaped === undefined ? [whole] : []));
        return '$';
      }
      const value = env[name];
      const isMissing = value === undefined || (value === '' && operator?.startsWith(':') === true);
      if (isMissing && operator?.endsWith('-') === true) {
        return word ?? '';
      }
      unset.push(...(isMissing ? [name] : []));
      return value ?? '';
    },
  );
  return { text: filled, unset, invalid: strays.length > 0 };
}
