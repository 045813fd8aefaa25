/**
 * How many reloads a proxy gets per minute (`ReloadsPerMinute`): each leaves workers behind for as long as their connections last.
 * What was told in the last minute counts; there is no debt and no saving up.
 */
const MINUTE_MS = 60_000;

export interface ReloadBudget {
  /** 0: one more may be told now; else the milliseconds until then. */
  waitMs(nowMs: number): number;
  told(nowMs: number): void;
}

/** `perMinute` undefined: no limit. */
export function createReloadBudget(perMinute: number | undefined): ReloadBudget {
  const toldAt: number[] = [];
  return {
    waitMs(nowMs) {
      while (toldAt[0] !== undefined && nowMs - toldAt[0] >= MINUTE_MS) {
        toldAt.shift();
      }
      const oldest = toldAt[0];
      return perMinute === undefined || toldAt.length < perMinute || oldest === undefined
        ? 0
        : oldest + MINUTE_MS - nowMs;
    },
    told(nowMs) {
      if (perMinute !== undefined) {
        toldAt.push(nowMs);
      }
    },
  };
}
