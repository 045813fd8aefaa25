/** Lines as NGINX 1.30 sends them to a syslog, and what else may come. */
import { describe, expect, it } from 'vitest';
import { parseRouteLine } from '../../../src/agent/nginx/route-line.ts';
import { createRouteCounts, ROUTE_METRICS } from '../../../src/agent/route-metrics.ts';
import { createMetrics } from '../../../src/runtime/metrics.ts';

const HEAD = '<190>Nov 28 10:07:27 nginx: ';
const DAY_MS = 24 * 60 * 60 * 1_000;

describe('a line', () => {
  it.each([
    ['a.local /', 'a.local', '/'],
    ['*.wild.local (none)', '*.wild.local', '(none)'],
    ['a_b.local /x/(y)~+=@:!&*,', 'a_b.local', '/x/(y)~+=@:!&*,'],
    ['a.local (redirect)', 'a.local', '(redirect)'],
    ['(unknown) (none)', '(unknown)', '(none)'],
    ['', '(unknown)', '(none)'],
  ])('names the route %j', (words, host, path) => {
    expect(parseRouteLine(`${HEAD}200 0.250 1042 ${words}`)).toEqual({
      host,
      path,
      code: '2xx',
      durationMs: 250,
      sentBytes: 1042,
    });
  });

  it.each([
    ['101', '1xx'],
    ['308', '3xx'],
    ['499', '4xx'],
    ['503', '5xx'],
    ['000', '(other)'],
    ['009', '(other)'],
    ['999', '(other)'],
  ])('with the status %s is of the class %s', (status, code) => {
    expect(parseRouteLine(`${HEAD}${status} 0.000 0 a.local /`)?.code).toBe(code);
  });

  it.each([
    '',
    HEAD,
    '200 0.250 1042 a.local /',
    `${HEAD}200 0.250 1042 a.local /\n`,
    `${HEAD}200 0.250 1042 a.local / more`,
    `${HEAD}200 0.250 -1 a.local /`,
    `${HEAD}200 NaN 1 a.local /`,
    `${HEAD}200 0.250 1042 A.local /`,
    `${HEAD}200 0.250 1042 (other) (other)`,
    `${HEAD}200 0.250 1042 (unknown) /x`,
    `${HEAD}200 0.250 1042 a.local /"x`,
    `${HEAD}200 0.250 1042 a.local /x?y`,
    `${HEAD}200 0.250 1042 ${'a'.repeat(300)} /`,
    `${HEAD}200 0.250 1042 a.local /${'a'.repeat(2_000)}`,
  ])('that is none of ours is nothing: %j', (message) => {
    expect(parseRouteLine(message)).toBeUndefined();
  });
});

describe('the counts', () => {
  const world = () => {
    const time = { now: 0 };
    const metrics = createMetrics(ROUTE_METRICS);
    const counts = createRouteCounts(metrics, { monotonic: () => time.now });
    const lines = async () => (await metrics.text()).split('\n');
    return { time, counts, lines };
  };

  it('say how many, how long and how much', async () => {
    const { counts, lines } = world();
    counts.take(`${HEAD}200 0.020 100 a.local /`);
    counts.take(`${HEAD}204 0.300 50 a.local /`);
    counts.take(`${HEAD}502 2.000 150 a.local /`);
    counts.take('noise');
    expect(await lines()).toEqual(
      expect.arrayContaining([
        'interlock_route_requests_total{host="a.local",path="/",code="2xx"} 2',
        'interlock_route_requests_total{host="a.local",path="/",code="5xx"} 1',
        'interlock_route_request_seconds_bucket{le="0.05",host="a.local",path="/"} 1',
        'interlock_route_request_seconds_bucket{le="1",host="a.local",path="/"} 2',
        'interlock_route_request_seconds_sum{host="a.local",path="/"} 2.32',
        'interlock_route_request_seconds_count{host="a.local",path="/"} 3',
        'interlock_route_sent_bytes_total{host="a.local",path="/"} 300',
        'interlock_route_lines_total 3',
        'interlock_route_unreadable_total 1',
      ]),
    );
  });

  it('keeps to a thousand routes; the rest is counted together', async () => {
    const { counts, lines } = world();
    for (let at = 0; at < 3_000; at += 1) {
      counts.take(`${HEAD}200 0.001 1 h${at}.local /`);
    }
    counts.take(`${HEAD}200 0.001 1 h0.local /`);
    const all = await lines();
    expect(all.filter((line) => line.startsWith('interlock_route_sent_bytes_total{'))).toHaveLength(1_001);
    expect(all).toContain('interlock_route_requests_total{host="(other)",path="(other)",code="2xx"} 2000');
    expect(all).toContain('interlock_route_requests_total{host="h0.local",path="/",code="2xx"} 2');
  });

  it('forgets a route without a request for a day, and has room for another', async () => {
    const { time, counts, lines } = world();
    for (let at = 0; at < 1_000; at += 1) {
      counts.take(`${HEAD}404 0.001 1 h${at}.local /`);
    }
    time.now = DAY_MS;
    counts.take(`${HEAD}200 0.001 1 h7.local /`);
    time.now += 1;
    counts.forgetIdle();
    counts.take(`${HEAD}200 0.001 1 new.local /`);
    expect((await lines()).filter((line) => line.startsWith('interlock_route_requests_total{'))).toEqual([
      'interlock_route_requests_total{host="h7.local",path="/",code="4xx"} 1',
      'interlock_route_requests_total{host="h7.local",path="/",code="2xx"} 1',
      'interlock_route_requests_total{host="new.local",path="/",code="2xx"} 1',
    ]);
    expect((await lines()).filter((line) => line.includes('h8.local'))).toEqual([]);
  });
});
