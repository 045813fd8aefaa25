import type { LabelName } from './label-table.ts';

/**
 * Labels that are read and checked but have no effect in this version: the intent keeps its default, and a finding says so.
 * Taking a name out of this list is all that switching a label on takes here.
 */
export const NOT_IN_EFFECT: readonly LabelName[] = [
  'context_root',
  'context_root_rewrite',
  'ssl_cert',
  'ssl_key',
  'ssl_passthrough',
  'ssl_only',
  'ssl_backend',
  'ssl_backend_tls_verify',
  'ssl_backend_ca',
  'websocket_endpoints',
  'sticky_session_cookie',
  'ip_hash',
  'redirects',
  'backend_mode',
  'default_backend',
  'max_fails',
  'fail_timeout',
  'weight',
];
