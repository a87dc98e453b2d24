/** What a scenario is: a network, the servers in it, a configuration file, and what the client does. */
import type { LabFamily } from '../addresses.ts';
import type { Director } from '../director.ts';
import type { LabDataPlane, RunLabOptions } from '../options.ts';
import type { LabResult, Progress } from '../report.ts';
import type { Lab } from '../run.ts';
import type { LabServers } from '../servers.ts';
import type { LabMode, LabTopology } from '../topology.ts';
import type { TrafficResult } from '../traffic.ts';

/** A lab with its director and its servers running and its table filled. */
export interface ScenarioRun {
  readonly lab: Lab;
  readonly options: RunLabOptions;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  readonly director: Director;
  readonly servers: LabServers;
}

export interface ScenarioKind {
  readonly name: string;
  /** One line for `uipvs lab list`. */
  readonly summary: string;
  /** The first is taken unless another is asked for. */
  readonly modes: readonly LabMode[];
  readonly families: readonly LabFamily[];
  /** Those that can carry its traffic, the usual one first; absent: the packet engine, compiled or not. */
  readonly dataPlanes?: readonly LabDataPlane[];
  /** Unless others are asked for. */
  readonly requests: number;
  readonly concurrency: number;
  /** Whether servers may be broken and mended with --kill and --revive. */
  readonly breakable: boolean;
  /** The program that asks. */
  readonly client: string;
  /** Whether every request makes the table count a connection. */
  readonly connectionPerRequest: (options: RunLabOptions) => boolean;
  /** Programs that only this scenario needs; `host.ts` knows their packages. */
  readonly programs: readonly string[];
  readonly topology: (options: RunLabOptions) => LabTopology;
  readonly configuration: (options: RunLabOptions) => string;
  /** The program that fills the table and checks the servers. */
  readonly healthChecks: string;
  /** Starts it; unless said, as an operator starts uldirectord. */
  readonly startHealthChecks?: (lab: Lab, director: Director, configuration: string) => Promise<void>;
  /**
   * What an operator types on the director before uipvsd starts. Where this is given, full NAT is the business of what
   * was typed, and uipvsd is not told of it.
   */
  readonly setUpDirector?: (lab: Lab, progress: Progress) => Promise<void>;
  readonly startServers: (lab: Lab, signal: AbortSignal) => Promise<LabServers>;
  /** The client's part. */
  readonly send: (run: ScenarioRun) => Promise<TrafficResult>;
  /** What is left to try once everything was counted; not when the lab stays up. */
  readonly finish?: (run: ScenarioRun) => Promise<void>;
  /** Sentences that explain the result. */
  readonly remarks?: (result: LabResult, options: RunLabOptions) => readonly string[];
}
