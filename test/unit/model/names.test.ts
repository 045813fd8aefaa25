import { describe, expect, it } from 'vitest';
import {
  parseCookieName,
  parseHostname,
  parseIpAddress,
  parsePathPrefix,
  parsePort,
  parseSecretName,
  toPort,
} from '../../../src/model/names.ts';

describe('parseHostname', () => {
  it.each([
    ['demo.local', 'demo.local'],
    ['  Demo.LOCAL\t', 'demo.local'],
    ['localhost', 'localhost'],
    ['my_service.local', 'my_service.local'],
    ['*.example.com', '*.example.com'],
    ['*.Bücher.example', '*.xn--bcher-kva.example'],
    ['bücher.example', 'xn--bcher-kva.example'],
    ['10.0.0.5', '10.0.0.5'],
    [`${'a'.repeat(63)}.b`, `${'a'.repeat(63)}.b`],
  ])('takes %j as %j', (text, host) => {
    expect(parseHostname(text)).toBe(host);
  });

  it.each([
    '',
    ' ',
    '.',
    '*',
    '*.',
    '**.example.com',
    'a.*.example.com',
    'a*.example.com',
    'demo.local:8080',
    'http://demo.local',
    'demo.local/app',
    'user@demo.local',
    'a b',
    'a..b',
    '.a',
    'a.',
    '-a.example',
    'a-.example',
    'a;b',
    'a"b',
    "a'b",
    'a{b',
    'a$b',
    'a\\b',
    'a\nb',
    'a\0b',
    '~^.*$',
    '[::1]',
    `${'a'.repeat(64)}.b`,
    `${'a.'.repeat(126)}ab`,
    'a'.repeat(65_536),
  ])('refuses %j', (text) => {
    expect(parseHostname(text)).toBeUndefined();
  });

  it('keeps a wildcard within the limit, prefix included', () => {
    const longest = `${'a.'.repeat(126)}a`;
    expect(parseHostname(longest)).toBe(longest);
    expect(parseHostname(`*.${longest}`)).toBeUndefined();
  });
});

describe('parsePathPrefix', () => {
  it.each([
    ['/', '/'],
    ['/app', '/app'],
    ['/app/', '/app'],
    [' /a/b.c/d~e ', '/a/b.c/d~e'],
    ['/...', '/...'],
    ['/v1:batch', '/v1:batch'],
  ])('takes %j as %j', (text, prefix) => {
    expect(parsePathPrefix(text)).toBe(prefix);
  });

  it.each([
    '',
    'app',
    '//',
    '//app',
    '/app//',
    '/a//b',
    '/.',
    '/..',
    '/a/../b',
    '/a/.',
    '/a b',
    '/a%20b',
    '/a;b',
    '/a{b',
    '/a$b',
    "/a'b",
    '/a"b',
    '/a\\b',
    '/a?b',
    '/a#b',
    '/ü',
    '/a\nb',
    `/${'a'.repeat(1024)}`,
    '/a'.repeat(40_000),
  ])('refuses %j', (text) => {
    expect(parsePathPrefix(text)).toBeUndefined();
  });
});

describe('ports', () => {
  it.each([
    ['1', 1],
    [' 8080 ', 8080],
    ['65535', 65_535],
  ])('takes %j', (text, port) => {
    expect(parsePort(text)).toBe(port);
  });

  it.each(['', '0', '65536', '-1', '+1', '1.0', '1e3', '0x50', '80/tcp', '８０', 'http'])('refuses %j', (text) => {
    expect(parsePort(text)).toBeUndefined();
  });

  it.each([0, -1, 1.5, 65_536, Number.NaN, Number.POSITIVE_INFINITY])('refuses the number %d', (value) => {
    expect(toPort(value)).toBeUndefined();
  });
});

describe('parseCookieName', () => {
  it.each(['sid', 'my-sid', 'JSESSIONID', 'a.b_c~d', '__Host-sid', 'x'.repeat(128)])('takes %j', (text) => {
    expect(parseCookieName(text)).toBe(text);
  });

  it.each(['', 'a b', 'a=b', 'a;b', 'a"b', "a'b", 'a$b', 'a`b', 'a\\b', 'a{b', 'a,b', 'ü', 'a\nb', 'x'.repeat(129)])(
    'refuses %j',
    (text) => {
      expect(parseCookieName(text)).toBeUndefined();
    },
  );
});

describe('parseSecretName', () => {
  it.each(['a', 'stack_cert.pem', 'a-b_c.d', 'x'.repeat(64)])('takes %j', (text) => {
    expect(parseSecretName(text)).toBe(text);
  });

  it.each(['', '.a', 'a.', '-a', 'a-', '../a', 'a/b', 'a b', 'x'.repeat(65)])('refuses %j', (text) => {
    expect(parseSecretName(text)).toBeUndefined();
  });
});

describe('parseIpAddress', () => {
  it.each([
    ['10.0.0.5', '10.0.0.5'],
    ['fe80::1', 'fe80::1'],
    ['FE80::1', 'fe80::1'],
    ['::1', '::1'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8'],
  ])('takes %j as %j', (text, address) => {
    expect(parseIpAddress(text)).toBe(address);
  });

  it.each([
    '',
    '10.0.0',
    '10.0.0.256',
    '10.0.0.5/24',
    '01.2.3.4',
    ':',
    ':::',
    '::::1',
    '1::2::3',
    'fe80::1%eth0',
    '[::1]',
    '1:2',
  ])('refuses %j', (text) => {
    expect(parseIpAddress(text)).toBeUndefined();
  });
});
