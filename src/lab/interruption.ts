/** Signals become the end of what a lab is doing. */
import { setMaxListeners } from 'node:events';
import { LabInterrupted } from './host.ts';

/** Turns signals and errors that nobody caught into the end of the lab, so that it is always taken down. */
export function stopOnSignals(stop: AbortController): () => void {
  // Every command that runs listens, and many hosts are asked at once.
  setMaxListeners(0, stop.signal);
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  const onSignal = (signal: NodeJS.Signals) => stop.abort(new LabInterrupted(signal));
  const onError = (error: unknown) => stop.abort(error);
  for (const signal of signals) process.on(signal, onSignal);
  process.on('uncaughtException', onError);
  return () => {
    for (const signal of signals) process.off(signal, onSignal);
    process.off('uncaughtException', onError);
  };
}
