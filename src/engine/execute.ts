/** Commands to the engine: those about the service table go there, the others are answered here. */
import { executeTableCommand } from '../balance/execute.ts';
import { executeSettingCommand } from '../balance/execute-settings.ts';
import {
  type Answer,
  COMMANDS,
  type Command,
  type CommandName,
  type EngineCounters,
  type HelperStatus,
} from '../model/commands.ts';
import { IpvsError } from '../model/errors.ts';
import { CONNECTION_TABLE_SIZE } from '../model/limits.ts';
import { mergeTimeouts, TICKS_PER_SECOND, type Timeouts } from '../model/settings.ts';
import { HELPERS } from './apps/index.ts';
import { listConnections } from './connection-listing.ts';
import type { EngineContext } from './context.ts';
import { TCP_ESTABLISHED, TCP_FIN_WAIT } from './protocols/tcp-states.ts';
import { rehearse } from './rehearse.ts';
import { REASON_NAMES, VERDICT_NAMES } from './verdict.ts';

/** Version of the kernel's table that we answer for. */
const TABLE_VERSION = '1.2.1';

export function executeCommand<N extends CommandName>(context: EngineContext, command: Command<N>): Answer<N> {
  const any = command as Command;
  // What a command changes may be what decided a flow; what it lists or reads has to be up to date.
  if (COMMANDS[any.name]?.changes) context.fastFlows?.takeAllBack();
  else context.fastFlows?.settleAll();
  let own = executeOwn(context, any);
  if (own === undefined) own = executeSettingCommand(context.settings, context.services.environment, any);
  if (any.name === 'setSetting') takeSettings(context);
  const answer = own === undefined ? executeTableCommand(context.services, any, context.nowTick) : own;
  if (DELETIONS.has(any.name) && context.settings.expire_nodest_conn !== 0) context.sweepAt = 0;
  if (answer === undefined) throw new IpvsError('EOPNOTSUPP', `${command.name}: the packet engine does not know it`);
  return answer as Answer<N>;
}

function executeOwn(context: EngineContext, command: Command): Answer<CommandName> | undefined {
  switch (command.name) {
    case 'info':
      return { version: TABLE_VERSION, connectionTableSize: CONNECTION_TABLE_SIZE };
    case 'listConnections':
      return listConnections(context, command.cursor, command.limit);
    case 'getTimeouts':
      return context.timeouts;
    case 'setTimeouts':
      setTimeouts(context, command.timeouts);
      return null;
    case 'listHelpers':
      return { helpers: listHelpers(context) };
    case 'listSyncDaemons':
      return { daemons: context.syncDaemons.list() };
    case 'startSyncDaemon':
      context.sync.start(context, command.daemon);
      return null;
    case 'stopSyncDaemon':
      context.sync.stop(context, command.role);
      return null;
    case 'addMarkRule':
      context.markRules.add(command.rule);
      return null;
    case 'deleteMarkRule':
      context.markRules.delete(command.rule);
      return null;
    case 'listMarkRules':
      return { rules: context.markRules.list() };
    case 'listSourceNatRules':
      return context.sourceNat.report(context);
    case 'rehearse':
      return rehearse(context, command);
    case 'readTrace':
      return context.traces.read(command);
    case 'getCounters':
      return countersOf(context);
    default:
      return undefined;
  }
}

const DELETIONS: ReadonlySet<CommandName> = new Set(['deleteDestination', 'deleteService', 'flush']);

/** What follows from settings beyond being read when they are needed. */
function takeSettings(context: EngineContext): void {
  context.defences.update(context);
  context.updatePaused();
}

function listHelpers(context: EngineContext): readonly HelperStatus[] {
  return HELPERS.flatMap(({ name, ports }) =>
    ports.map((port) => ({ name, protocol: 'tcp' as const, port, connections: context.helpers.connections })),
  );
}

/** Connections take a new value with their next packet. */
function setTimeouts(context: EngineContext, wanted: Timeouts): void {
  const timeouts = mergeTimeouts(context.timeouts, wanted);
  context.timeouts = timeouts;
  context.tcpTimeoutTicks[TCP_ESTABLISHED] = timeouts.tcpSeconds * TICKS_PER_SECOND;
  context.tcpTimeoutTicks[TCP_FIN_WAIT] = timeouts.tcpFinSeconds * TICKS_PER_SECOND;
  context.udpTimeoutTicks = timeouts.udpSeconds * TICKS_PER_SECOND;
}

function countersOf(context: EngineContext): EngineCounters {
  const { fastFlows } = context;
  return {
    verdicts: named(VERDICT_NAMES, context.verdictCounts),
    drops: named(REASON_NAMES, context.dropCounts),
    passes: named(REASON_NAMES, context.passCounts),
    connections: context.connections.count,
    connectionsMax: context.connections.capacity,
    ...(fastFlows === null
      ? {}
      : { fastPath: { connections: fastFlows.count, packets: fastFlows.packets, bytes: fastFlows.bytes } }),
  };
}

/** Counters above 0 by name. */
function named(names: readonly string[], counts: Float64Array): Record<string, number> {
  const result: Record<string, number> = {};
  names.forEach((name, index) => {
    if ((counts[index] as number) > 0) result[name] = counts[index] as number;
  });
  return result;
}
