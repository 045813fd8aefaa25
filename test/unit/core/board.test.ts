import { expect, it } from 'vitest';
import { createBoard } from '../../../src/core/board.ts';
import { createFinding, findingKey } from '../../../src/model/finding.ts';
import { extensionSettings } from '../../support/settings.ts';

it('tells a finding of two sources once, and that it is gone when neither says it any more', () => {
  const heard: string[] = [];
  const board = createBoard([extensionSettings()], findingKey, {
    onNew: ({ subject }) => heard.push(`new ${subject}`),
    onGone: ({ subject }) => heard.push(`gone ${subject}`),
  });
  const finding = (subject: string) => createFinding('SETTINGS.KEY_UNKNOWN', 'There is no such key.', { subject });

  board.setFindings('settings', [finding('Config.A'), finding('Config.B')]);
  board.setFindings('extension default', [finding('Config.A')]);
  expect(board.findings().map(({ subject }) => subject)).toEqual(['Config.A', 'Config.B']);
  board.setFindings('settings', []);
  expect(board.findings().map(({ subject }) => subject)).toEqual(['Config.A']);
  expect(heard).toEqual(['new Config.A', 'new Config.B', 'gone Config.B']);
  board.setFindings('extension default', []);
  expect(board.findings()).toEqual([]);
  expect(heard.at(-1)).toBe('gone Config.A');
});
