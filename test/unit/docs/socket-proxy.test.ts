/** docker/socket-proxy: core as in docker/stack.yml but for its volumes, and the allow-list as the adapter asks. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { ENGINE_CALLS, pathPattern } from '../../../src/core/engine/engine-calls.ts';

const read = (path: string): string => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');

interface Stack {
  readonly services: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

describe('the stack with a filter', () => {
  it('has the same core as docker/stack.yml, without the Docker socket', () => {
    const { volumes: plain, ...before } = (parse(read('docker/stack.yml')) as Stack).services['core'] ?? {};
    const { volumes, ...after } = (parse(read('docker/socket-proxy/stack.yml')) as Stack).services['core'] ?? {};
    expect(after).toEqual(before);
    expect(JSON.stringify(volumes)).not.toContain('docker.sock');
    expect(JSON.stringify(plain)).toContain('docker.sock');
  });
});

describe('the allow-list', () => {
  const calls = Object.values(ENGINE_CALLS);
  const isAllowed = (method: string, path: string): boolean =>
    calls.some((call) => call.method === method && new RegExp(pathPattern(call)).test(path));

  it.each([
    ['GET', '/version'],
    ['GET', '/v1.41/services?filters=%7B%7D'],
    ['GET', '/v1.51/services/interlock_core?insertDefaults=false'],
    ['POST', '/v1.51/services/2vmd1uwrhcd0u9dm2gaw3cz1u/update?version=12&registryAuthFrom=spec'],
    ['GET', '/v1.51/configs/com.docker.interlock.proxy.default.1-0cb9f230'],
    ['DELETE', '/v1.51/secrets/2vmd1uwrhcd0u9dm2gaw3cz1u'],
  ])('lets %s %s through', (method, path) => {
    expect(isAllowed(method, path)).toBe(true);
  });

  it.each([
    ['POST', '/v1.51/containers/create'],
    ['POST', '/v1.51/services'],
    ['GET', '/v1.51/swarm'],
    ['GET', '/v1.51/services/../swarm'],
    ['GET', '/v1.51/services/..'],
    ['GET', '/v1.51/services/a%2f..%2f..%2fswarm'],
    ['GET', '/v1.51//services'],
    ['GET', '/v1.51/services/a/logs'],
    ['GET', '/v1.51/secrets/a'],
    ['POST', '/v1.51/nodes/a/update'],
    ['GET', '/v1.51/containers/a/json/../../../swarm'],
    ['GET', '/x/version'],
    ['GET', '/info\n/swarm'],
  ])('refuses %s %j', (method, path) => {
    expect(isAllowed(method, path)).toBe(false);
  });
});
