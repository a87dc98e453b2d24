/** How a connection ends: its timer fires, or it is thrown out before its time. */

import { TICKS_PER_SECOND } from '../model/settings.ts';
import {
  CONTROLLED,
  CONTROLLER,
  ConnectionFlag,
  DESTINATION,
  EXPIRES_TICK,
  FLAGS,
  NO_ROW,
  ROW_SHIFT,
  STATE,
  TEMPLATE_ASSURED,
  TIMEOUT_TICKS,
} from './connection.ts';
import type { EngineContext } from './context.ts';

/** An entry that still controls others is postponed by this. */
const POSTPONE_TICKS = 60 * TICKS_PER_SECOND;
/** Timeouts are kept as unsigned numbers; the wheel reaches so far. */
export const TIMER_TICKS_MAX = 0x3fff_ffff;

export function restartTimer(context: EngineContext, row: number): void {
  const { rows } = context.connections;
  const base = row << ROW_SHIFT;
  const timeout = rows[base + TIMEOUT_TICKS] as number;
  if (timeout >= 0 && timeout <= TIMER_TICKS_MAX) {
    context.timers.set(row, (context.nowTick + timeout) | 0);
    return;
  }
  context.timers.set(row, (context.nowTick + TIMER_TICKS_MAX) | 0);
  rows[base + EXPIRES_TICK] = (context.nowTick + timeout) | 0;
}

/** As a packet at `tick` would have restarted it. It is never made to fire earlier, so packets since then count. */
export function restartTimerSince(context: EngineContext, row: number, tick: number): void {
  const timeout = context.connections.rows[(row << ROW_SHIFT) + TIMEOUT_TICKS] as number;
  if (timeout >= 0 && timeout <= TIMER_TICKS_MAX) context.timers.setSince(row, (tick + timeout) | 0, tick);
}

export function expireConnection(context: EngineContext, row: number): void {
  const { rows } = context.connections;
  const base = row << ROW_SHIFT;
  if (((rows[base + FLAGS] as number) & ConnectionFlag.FAST) !== 0) {
    context.fastFlows?.settle(row);
    // It was heard of meanwhile.
    if (context.timers.isRunning(row)) return;
  }
  if ((rows[base + CONTROLLED] as number) > 0) {
    rows[base + TIMEOUT_TICKS] = POSTPONE_TICKS;
    restartTimer(context, row);
    context.sync.master?.consider(row, context.settings.sync_threshold[0], context.nowTick, context.nowMs);
    return;
  }
  removeConnection(context, row);
}

/** Its time is over: the next tick takes it out. Until then a new connection of the same client is found first. */
export function expireSoon(context: EngineContext, row: number): void {
  takeBack(context, row);
  context.timers.set(row, context.nowTick);
}

/** From the fast path, if it is there. */
function takeBack(context: EngineContext, row: number): void {
  const flags = context.connections.rows[(row << ROW_SHIFT) + FLAGS] as number;
  if ((flags & ConnectionFlag.FAST) !== 0) context.fastFlows?.takeBack(row);
}

/** Takes the connection out of the table at once and gives its row back. */
export function removeConnection(context: EngineContext, row: number): void {
  const { connections } = context;
  const { rows } = connections;
  const base = row << ROW_SHIFT;
  takeBack(context, row);
  context.timers.cancel(row);
  connections.remove(row);
  const controller = rows[base + CONTROLLER] as number;
  if (controller !== NO_ROW) {
    const controllerBase = controller << ROW_SHIFT;
    rows[controllerBase + CONTROLLED] = (rows[controllerBase + CONTROLLED] as number) - 1;
    rows[base + CONTROLLER] = NO_ROW;
  }
  context.helpers.forget(row);
  const destination = rows[base + DESTINATION] as number;
  if (destination !== NO_ROW) {
    const flags = rows[base + FLAGS] as number;
    context.services
      .destinationAt(destination)
      .unbind((flags & ConnectionFlag.INACTIVE) !== 0, (flags & ConnectionFlag.TEMPLATE) !== 0);
  }
  connections.release(row);
}

/** Throws a connection out, and what controls it too, unless that has other members or was once answered. */
export function dropConnection(context: EngineContext, row: number): void {
  const { rows } = context.connections;
  if ((rows[(row << ROW_SHIFT) + CONTROLLED] as number) > 0) return;
  const controller = rows[(row << ROW_SHIFT) + CONTROLLER] as number;
  removeConnection(context, row);
  if (controller === NO_ROW) return;
  const base = controller << ROW_SHIFT;
  const isTemplate = ((rows[base + FLAGS] as number) & ConnectionFlag.TEMPLATE) !== 0;
  const isAssured = isTemplate && ((rows[base + STATE] as number) & TEMPLATE_ASSURED) !== 0;
  if (!isAssured) dropConnection(context, controller);
}

/** One piece of a sweep: rows looked at, and connections thrown out, at most. */
const SWEEP_ROWS_MAX = 16_384;
const SWEEP_REMOVALS_MAX = 512;

/**
 * With expire_nodest_conn: connections whose destination was deleted, and what controlled only them. A piece of the
 * table from row `from` on; returns where to go on, NO_ROW after the last.
 */
export function dropWithoutDestination(context: EngineContext, from: number): number {
  const { connections, services } = context;
  const end = Math.min(connections.highWater, from + SWEEP_ROWS_MAX);
  let removals = 0;
  for (let row = from; row < end; row++) {
    if (removals >= SWEEP_REMOVALS_MAX) return row;
    if (!connections.isUsed(row)) continue;
    const index = connections.rows[(row << ROW_SHIFT) + DESTINATION] as number;
    if (index === NO_ROW || services.destinationAt(index).available) continue;
    const controller = connections.rows[(row << ROW_SHIFT) + CONTROLLER] as number;
    if ((connections.rows[(row << ROW_SHIFT) + CONTROLLED] as number) > 0) continue;
    removeConnection(context, row);
    removals++;
    if (controller !== NO_ROW && (connections.rows[(controller << ROW_SHIFT) + CONTROLLED] as number) === 0) {
      removeConnection(context, controller);
    }
  }
  return end < connections.highWater ? end : NO_ROW;
}

/** Whole seconds until the timer is due, cut off; 0 while it is overdue. */
export function secondsLeft(context: EngineContext, row: number): number {
  const { rows } = context.connections;
  const base = row << ROW_SHIFT;
  const ticks = ((rows[base + EXPIRES_TICK] as number) - context.nowTick) | 0;
  if ((rows[base + TIMEOUT_TICKS] as number) < 0) {
    // Half of what 32 bits can say and more; the kernel shows it from a 32-bit number of milliseconds.
    return Math.floor((((ticks >>> 0) * (1000 / TICKS_PER_SECOND)) % 2 ** 32) / 1000);
  }
  return ticks > 0 ? Math.floor(ticks / TICKS_PER_SECOND) : 0;
}
