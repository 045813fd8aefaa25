import { describe, expect, it } from 'vitest';
import { parseLogFormat } from '../../../src/settings/log-format.ts';

describe('parseLogFormat', () => {
  it('keeps a plain format as it is', () => {
    const text = '$remote_addr - "$request" $status';
    expect(parseLogFormat(` ${text} `)).toEqual({ text, escape: 'default' });
  });

  it("takes the original's text apart: quoted strings over several lines, with the semicolon", () => {
    const text = `'$remote_addr - $remote_user [$time_local] "$request" '\n\t\t    '$status $body_bytes_sent "$http_referer" '\n\t\t    '"$http_user_agent"';`;
    expect(parseLogFormat(text)?.text).toBe(
      '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"',
    );
  });

  it.each([
    ["'$a $b'", '$a $b'],
    ['"$a \\"$b\\"";', '$a "$b"'],
    ["'it\\'s $a';", "it's $a"],
    ['$a;', '$a'],
    ['"$request" $status', '"$request" $status'],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: NGINX's way to end a variable's name
    ['${a}b', '${a}b'],
  ])('reads %j as %j', (text, format) => {
    expect(parseLogFormat(text)?.text).toBe(format);
  });

  it('keeps the escape parameter', () => {
    expect(parseLogFormat(`escape=json '{"a":"$request"}';`)).toEqual({ text: '{"a":"$request"}', escape: 'json' });
  });

  it.each([
    '',
    ' ',
    "''",
    "'unfinished",
    "'$a'; access_log off;",
    "'$a' } server {';",
    "'$a';;",
    '$a\n$b',
    'costs 5$ each',
    '${a',
    '$a\0',
    'a'.repeat(5000),
  ])('refuses %j', (text) => {
    expect(parseLogFormat(text)).toBeUndefined();
  });
});
