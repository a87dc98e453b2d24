/** The library: what a program of yours can build on. Everything else in the package may change without notice. */

export { type CommandResult, connectDataPlane, type RemoteDataPlane } from './control/client.ts';
export { type Daemon, type DaemonEnd, type DaemonOptions, startDaemon } from './control/daemon.ts';
export type { LogLevel } from './control/log-level.ts';
export { createLogger, type Logger } from './control/logger.ts';
export { allServices, walkConnections, walkServices } from './control/pages.ts';
export { type DesiredService, type ReconcileOptions, reconcile } from './control/reconcile.ts';
export { listenPath, socketPath } from './control/socket-path.ts';
export { type PacketDataPlaneOptions, startPacketDataPlane } from './data-plane/packet/host.ts';
export * from './model/commands.ts';
export type { ConnectionStatus, Endpoint } from './model/connection-status.ts';
export type { Capabilities, DataPlane } from './model/data-plane.ts';
export type { DestinationKey, DestinationSpec, DestinationStatus } from './model/destination.ts';
export { type ErrorCode, IpvsError } from './model/errors.ts';
export type { DataPlaneEvent } from './model/events.ts';
export * from './model/forwarding.ts';
export * from './model/service.ts';
export { DEFAULT_TIMEOUTS, type Timeouts } from './model/settings.ts';
export type { Rates, Statistics } from './model/statistics.ts';
