import { describe, expect, it } from 'vitest';
import {
  type AgentEvent,
  type AgentSignal,
  type AgentState,
  exitCodeOf,
  INITIAL_STATE,
  nextStep,
  stoppedFrom,
} from '../../../src/agent/lifecycle.ts';

const serving: AgentState = { kind: 'serving' };
const graceful: AgentState = { kind: 'draining', pace: 'graceful' };
const fast: AgentState = { kind: 'draining', pace: 'fast' };
const told = (name: AgentSignal): AgentEvent => ({ kind: 'signal', name });
const abort: AgentEvent = { kind: 'abort' };
const ready: AgentEvent = { kind: 'ready' };
const reload: AgentEvent = { kind: 'reload' };

describe('nextStep', () => {
  it.each<[string, AgentState, AgentEvent, AgentState, readonly string[]]>([
    ['serves when NGINX is ready', INITIAL_STATE, ready, serving, []],
    ['ends a starting NGINX at once', INITIAL_STATE, told('SIGTERM'), fast, ['SIGTERM']],
    ['ends a starting NGINX at once on abort', INITIAL_STATE, abort, fast, ['SIGTERM']],
    ['drains on SIGTERM', serving, told('SIGTERM'), graceful, ['SIGQUIT']],
    ['drains on SIGQUIT', serving, told('SIGQUIT'), graceful, ['SIGQUIT']],
    ['drains on abort', serving, abort, graceful, ['SIGQUIT']],
    ['ends fast on SIGINT', serving, told('SIGINT'), fast, ['SIGTERM']],
    ['passes on SIGHUP', serving, told('SIGHUP'), serving, ['SIGHUP']],
    ['passes on SIGUSR1', serving, told('SIGUSR1'), serving, ['SIGUSR1']],
    ['ends fast on a second SIGTERM', graceful, told('SIGTERM'), fast, ['SIGTERM']],
    ['ends fast on a second SIGQUIT', graceful, told('SIGQUIT'), fast, ['SIGTERM']],
    ['ends fast on SIGINT while draining', graceful, told('SIGINT'), fast, ['SIGTERM']],
    ['does not take an abort for a second stop', graceful, abort, graceful, []],
    ['reloads nothing while draining', graceful, told('SIGHUP'), graceful, []],
    ['says it again to a fast end that lasts', fast, told('SIGTERM'), fast, ['SIGTERM']],
    ['takes a late ready for nothing', fast, ready, fast, []],
    ['reloads while serving', serving, reload, serving, ['SIGHUP']],
    ['reloads nothing of its own before NGINX serves', INITIAL_STATE, reload, INITIAL_STATE, []],
    ['reloads nothing of its own while draining', graceful, reload, graceful, []],
  ])('%s', (_claim, state, event, next, send) => {
    expect(nextStep(state, event)).toEqual({ state: next, send });
  });

  it('keeps a reload until NGINX handles signals, and keeps it once', () => {
    const one = nextStep(INITIAL_STATE, told('SIGHUP'));
    const two = nextStep(one.state, told('SIGUSR1'));
    const three = nextStep(two.state, told('SIGHUP'));

    expect([one.send, two.send, three.send]).toEqual([[], [], []]);
    expect(nextStep(three.state, ready)).toEqual({ state: serving, send: ['SIGHUP', 'SIGUSR1'] });
  });

  it('changes nothing once stopped', () => {
    const stopped = stoppedFrom(serving, { kind: 'code', code: 0 });

    expect(nextStep(stopped, told('SIGTERM'))).toEqual({ state: stopped, send: [] });
  });
});

describe('exitCodeOf', () => {
  it.each<[string, AgentState, Parameters<typeof stoppedFrom>[1], number]>([
    ['0 for a drain that ended well', graceful, { kind: 'code', code: 0 }, 0],
    ["NGINX's code for a drain that ended badly", graceful, { kind: 'code', code: 2 }, 2],
    ['0 for the SIGTERM it was given before it handled signals', fast, { kind: 'signal', signal: 'SIGTERM' }, 0],
    ['1 for a kill during the drain', graceful, { kind: 'signal', signal: 'SIGKILL' }, 1],
    ["NGINX's code when it ends by itself", serving, { kind: 'code', code: 3 }, 3],
    ['1 when it ends by itself and says 0', serving, { kind: 'code', code: 0 }, 1],
    ['1 when somebody else ends it with SIGTERM', serving, { kind: 'signal', signal: 'SIGTERM' }, 1],
    ["NGINX's code for a refused file", INITIAL_STATE, { kind: 'code', code: 1 }, 1],
  ])('is %s', (_claim, state, exit, code) => {
    expect(exitCodeOf(stoppedFrom(state, exit))).toBe(code);
  });
});
