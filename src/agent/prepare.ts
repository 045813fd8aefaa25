/** All that stands before NGINX: which file, fitted to this task, from where. Comes in: the mounted file and core's answer. Goes out: a command. */
import { join } from 'node:path';
import { joined, sizeOf } from '../model/artifact.ts';
import type { Clock } from '../runtime/clock.ts';
import { isOperational, OperationalError } from '../runtime/errors.ts';
import type { Logger } from '../runtime/logging.ts';
import { type Delivery, mountedDigest } from './delivery/delivery.ts';
import type { Delivered } from './delivery/fetch.ts';
import { askCoreFirst } from './delivery/first-file.ts';
import { openStage, type Stage } from './delivery/stage.ts';
import type { RefusedArtifact, Standing } from './delivery/standing.ts';
import { attachedSubnets } from './localise/attached.ts';
import { createFitter, type Fit, type Fitted } from './localise/fit.ts';
import { type Complaints, openComplaints } from './nginx/complaints.ts';
import { findDaemonDirective, type MountedFile, readMountedFile } from './nginx/mounted-file.ts';
import { preflight } from './nginx/preflight.ts';
import type { NginxCommand } from './nginx/process.ts';
import type { NginxVersion } from './nginx/version.ts';

export interface Prepared {
  readonly command: NginxCommand;
  /** How things stand once NGINX serves. */
  readonly standing: Standing;
  readonly localise: Fit;
  /** `undefined`: NGINX runs from the mounted file itself. */
  readonly staged: Staged | undefined;
}

export interface Staged {
  readonly stage: Stage;
  readonly complaints: Complaints;
}

export interface PrepareOptions {
  readonly configPath: string;
  readonly nginxBinary: string;
  readonly nginxArgs: readonly string[];
  readonly version: NginxVersion | undefined;
  /** Where NGINX is to log its errors to as well, if there is a core that may want to know; default: nowhere. */
  readonly errorTarget?: string | undefined;
  /** Where NGINX is to tell of requests per route; default: nowhere. */
  readonly routeLog?: string | undefined;
  /** This is a task of a Swarm service. */
  readonly inSwarm: boolean;
}

export interface PrepareTools {
  readonly delivery: Delivery | undefined;
  readonly ownDirectory?: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Aborts when the agent is told to stop meanwhile. */
  readonly leaving: AbortSignal;
}

/** What a file is served from and counted as. */
interface Candidate extends Delivered {
  readonly origin: 'core' | 'mounted';
}

const SECRETS = '/run/secrets';
const OWN_DIRECTORY = '/run/interlock';

/** Throws AGENT.CONFIG_MISSING, AGENT.CONFIG_DAEMON, or the reason of `leaving`. */
export async function prepare(options: PrepareOptions, tools: PrepareTools): Promise<Prepared> {
  const { delivery, logger } = tools;
  const mounted = await readMounted(options.configPath, delivery !== undefined);
  const localise = createFitter({
    secretsDirectory: SECRETS,
    ownDirectory: tools.ownDirectory ?? OWN_DIRECTORY,
    // Only a task of a Swarm is attached to networks one by one; elsewhere addresses may lie behind a router.
    attached: options.inSwarm ? attachedSubnets : () => undefined,
    routeLog: options.routeLog,
    clock: tools.clock,
  });
  if (delivery === undefined) {
    // Without a core there is a mounted file, or we would not be here.
    return prepareMounted(mounted as Mounted, localise, options, tools);
  }
  if (mounted instanceof OperationalError) {
    logger.warn({ err: mounted }, 'no mounted file; waiting for core');
  } else {
    delivery.fetcher.hold(mounted.blob, mounted.bytes);
  }
  const asked = await askCoreFirst({ ...delivery, ...tools }, tools.leaving);
  const own = tools.ownDirectory ?? OWN_DIRECTORY;
  const stage = await openStage(own, options.configPath);
  const staged = { stage, complaints: await openComplaints(join(own, 'refused.log')) };
  const choice = await choose(asked, mounted, { own, localise, staged, options, tools });
  return { ...choice, localise, staged };
}

type Mounted = MountedFile & { readonly digest: string; readonly blob: string };

function mountedCandidate({ digest, blob, bytes }: Mounted): Candidate {
  return { origin: 'mounted', digest, pieces: [{ digest: blob, bytes }] };
}

/** With a core, a mounted file that is missing is no error yet. */
async function readMounted(configPath: string, mayBeMissing: boolean): Promise<Mounted | OperationalError> {
  try {
    const file = await readMountedFile(configPath);
    refuseDaemonOn(configPath, Buffer.from(file.bytes).toString());
    return { ...file, ...mountedDigest(configPath, file.bytes) };
  } catch (error) {
    if (mayBeMissing && isOperational(error, 'AGENT.CONFIG_MISSING')) {
      return error;
    }
    throw error;
  }
}

function refuseDaemonOn(configPath: string, text: string): void {
  if (findDaemonDirective(text) === 'on') {
    throw new OperationalError(
      'AGENT.CONFIG_DAEMON',
      `${configPath} says "daemon on;", so NGINX would leave the foreground and its end would go unseen`,
    );
  }
}

/** The mounted file where it is, unless this task needs another text. */
async function prepareMounted(
  mounted: Mounted,
  localise: Prepared['localise'],
  options: PrepareOptions,
  { ownDirectory = OWN_DIRECTORY, logger }: PrepareTools,
): Promise<Prepared> {
  const candidate = mountedCandidate(mounted);
  const fitted = localise(candidate.pieces);
  let path = options.configPath;
  if (mounted.packed || fitted.pieces !== candidate.pieces) {
    const stage = await openStage(ownDirectory, options.configPath);
    await stage.put(joined(fitted.pieces));
    path = stage.path;
  }
  for (const finding of fitted.findings) {
    logger.warn({ finding }, 'finding');
  }
  announce(candidate, options, logger);
  const standing = standingOf(mounted.digest, fitted);
  return { command: commandFor(path, fitted, undefined, options), standing, localise, staged: undefined };
}

interface Choosing {
  /** The agent's own folder. */
  readonly own: string;
  readonly localise: Prepared['localise'];
  readonly staged: Staged;
  readonly options: PrepareOptions;
  readonly tools: PrepareTools;
}

/** Core's file when NGINX takes it; a mounted one has been served before, so it needs no asking. */
async function choose(
  asked: Delivered | undefined,
  mounted: Mounted | OperationalError,
  choosing: Choosing,
): Promise<Pick<Prepared, 'command' | 'standing'>> {
  const { tools } = choosing;
  const ofCore: Candidate | undefined = asked && { origin: 'core', ...asked };
  if (mounted instanceof OperationalError) {
    if (ofCore === undefined) {
      throw mounted;
    }
    return take(ofCore, undefined, choosing);
  }
  const fallback = mountedCandidate(mounted);
  if (ofCore === undefined || ofCore.digest === mounted.digest) {
    return take(fallback, undefined, choosing);
  }
  const begunAt = tools.clock.monotonic();
  const taken = await take(ofCore, undefined, choosing);
  const reason = await preflight(taken.command, join(choosing.own, 'preflight.log'), tools.leaving);
  if (reason === undefined) {
    return taken;
  }
  tools.logger.error({ artifact: ofCore.digest.slice(0, 12), reason }, 'refused; starting with the mounted file');
  return take(fallback, { digest: ofCore.digest, reason, durationMs: tools.clock.monotonic() - begunAt }, choosing);
}

async function take(
  candidate: Candidate,
  refused: RefusedArtifact | undefined,
  { localise, staged, options, tools }: Choosing,
): Promise<Pick<Prepared, 'command' | 'standing'>> {
  const fitted = localise(candidate.pieces);
  await staged.stage.put(joined(fitted.pieces));
  await staged.stage.keep();
  announce(candidate, options, tools.logger);
  return {
    command: commandFor(staged.stage.path, fitted, staged.complaints, options),
    standing: { ...standingOf(candidate.digest, fitted), refused },
  };
}

function standingOf(digest: string, { findings }: Fitted): Standing {
  return { serving: { digest, durationMs: 0, findings }, refused: undefined, draining: false };
}

function commandFor(
  configPath: string,
  { head }: Fitted,
  complaints: Complaints | undefined,
  { nginxBinary, nginxArgs, errorTarget }: PrepareOptions,
): NginxCommand {
  const daemon = findDaemonDirective(head) === 'absent' ? ['daemon off;'] : [];
  return {
    binary: nginxBinary,
    configPath,
    globals: [...daemon, ...(complaints === undefined ? [] : errorLogs(complaints, errorTarget, head))],
    extraArgs: nginxArgs,
  };
}

/** A file that names no error log gets NGINX's own one only while nobody else names one: so we name both. */
function errorLogs({ directive }: Complaints, target: string | undefined, head: string): readonly string[] {
  const ours = target === undefined ? [directive] : [directive, `error_log ${target} error;`];
  return /(?:^|[\s;}])error_log\s/.test(head) ? ours : [...ours, 'error_log stderr error;'];
}

function announce(
  { origin, digest, pieces }: Candidate,
  { version, configPath }: PrepareOptions,
  logger: Logger,
): void {
  const facts = { origin, artifact: digest.slice(0, 12), path: configPath, sizeBytes: sizeOf(pieces) };
  logger.info({ nginx: version?.join('.'), ...facts }, 'NGINX starts');
}
