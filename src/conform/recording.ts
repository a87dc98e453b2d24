/**
 * Recordings of a real kernel's IPVS: what was done, and what came of it. A recording that does not have this form
 * is refused before anything is played.
 */
export interface RecordedInterface {
  readonly name: string;
  readonly mac: string;
  readonly mtu: number;
  /** `10.0.0.1/24` */
  readonly addrs: readonly string[];
  /** Address to MAC. */
  readonly neigh?: Readonly<Record<string, string>>;
  readonly gateways?: readonly string[];
}

/** A packet that left: interface, next hop (address, or a MAC nobody is known by), bytes from the IP header on. */
export interface RecordedOutput {
  readonly dev: string;
  readonly to: string;
  readonly hex: string;
  readonly sum?: string;
  /** Seconds after the beginning of a wait. */
  readonly dt?: number;
}

interface StepBase {
  /** Seconds since the start of the case. */
  readonly t: number;
  readonly out?: readonly RecordedOutput[];
}

export type RecordedStep =
  | (StepBase & {
      readonly do: 'cmd';
      readonly argv: readonly string[];
      readonly stdin?: string;
      readonly stdout: string;
      readonly stderr: string;
      /** Negative: killed by that signal. */
      readonly exit: number;
    })
  | (StepBase & {
      readonly do: 'packet';
      readonly dev: string;
      readonly hex: string;
      readonly sum?: string;
      readonly mark?: number;
      readonly repeat?: number;
    })
  | (StepBase & { readonly do: 'wait'; readonly seconds: number })
  | (StepBase & { readonly do: 'file'; readonly path: string; readonly text: string | null })
  | (StepBase & { readonly do: 'sysctl'; readonly name: string; readonly value: string; readonly error?: string })
  | (StepBase & { readonly do: 'host'; readonly argv: readonly string[] })
  | (StepBase & { readonly do: 'note'; readonly text: string });

export interface Recording {
  readonly format: 1;
  readonly id: string;
  readonly category: string;
  readonly title: string;
  readonly env: {
    readonly ifaces: readonly RecordedInterface[];
    readonly sysctl: Readonly<Record<string, string>>;
    readonly netns_created_t?: number;
  };
  readonly steps: readonly RecordedStep[];
}

export class RecordingError extends Error {
  override readonly name = 'RecordingError';
}

/** Reads a recording's JSON text; `name` is for the message. */
export function parseRecording(text: string, name: string): Recording {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new RecordingError(`${name}: no JSON: ${(cause as Error).message}`, { cause });
  }
  const recording = value as Partial<Recording> | null;
  if (typeof recording !== 'object' || recording === null || recording.format !== 1) {
    throw new RecordingError(`${name}: not a recording of format 1`);
  }
  if (typeof recording.id !== 'string' || typeof recording.category !== 'string') {
    throw new RecordingError(`${name}: id or category is missing`);
  }
  if (!Array.isArray(recording.steps) || !Array.isArray(recording.env?.ifaces)) {
    throw new RecordingError(`${name}: steps or env.ifaces is missing`);
  }
  recording.steps.forEach((step, index) => {
    const known = ['cmd', 'packet', 'wait', 'file', 'sysctl', 'host', 'note'].includes(step?.do);
    if (!known || typeof step.t !== 'number') throw new RecordingError(`${name}: step ${index} is not understood`);
  });
  return recording as Recording;
}
