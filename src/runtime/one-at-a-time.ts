/** Runs what it is given one behind the other, in the order of the calls; what one of them throws concerns its own caller. */
export type OneAtATime = <Value>(act: () => Promise<Value>) => Promise<Value>;

export function createOneAtATime(): OneAtATime {
  let last: Promise<unknown> = Promise.resolve();
  return (act) => {
    const next = last.then(act, act);
    last = next.catch(() => undefined); // the caller hears of it; the next one does not care
    return next;
  };
}
