/** `docs/config.schema.json`: what `interlock schema` prints. */
import { configSchema } from '../../../src/settings/json-schema.ts';
import type { Page } from './page.ts';

export const schemaPage: Page = {
  path: 'docs/config.schema.json',
  render: () => `${JSON.stringify(configSchema(), null, 2)}\n`,
};
