/** How a connection ends: its timer fires, or it is thrown out before its time. */

import { TICKS_PER_SECOND } from '../model/settings.ts';
import {
  CONTROLLED,
  ConnectionFlag,
  DESTINATION,
  EXPIRES_TICK,
  FLAGS,
  NO_ROW,
  ROW_SHIFT,
  TIMEOUT_TICKS,
} from './connection.ts';
import type { EngineContext } from './context.ts';

/** An entry that still controls others is postponed by this. */
const POSTPONE_TICKS = 60 * TICKS_PER_SECOND;

export function restartTimer(context: EngineContext, row: number): void {
  const timeout = context.connections.rows[(row << ROW_SHIFT) + TIMEOUT_TICKS] as number;
  context.timers.set(row, (context.nowTick + timeout) | 0);
}

export function expireConnection(context: EngineContext, row: number): void {
  const { rows } = context.connections;
  const base = row << ROW_SHIFT;
  if ((rows[base + CONTROLLED] as number) > 0) {
    rows[base + TIMEOUT_TICKS] = POSTPONE_TICKS;
    restartTimer(context, row);
    return;
  }
  removeConnection(context, row);
}

/** Takes the connection out of the table at once and gives its row back. */
export function removeConnection(context: EngineContext, row: number): void {
  const { connections } = context;
  const base = row << ROW_SHIFT;
  context.timers.cancel(row);
  connections.remove(row);
  const destination = connections.rows[base + DESTINATION] as number;
  if (destination !== NO_ROW) {
    const flags = connections.rows[base + FLAGS] as number;
    context.services
      .destinationAt(destination)
      .unbind((flags & ConnectionFlag.INACTIVE) !== 0, (flags & ConnectionFlag.TEMPLATE) !== 0);
  }
  connections.release(row);
}

/** Whole seconds until the timer is due, cut off; 0 while it is overdue. */
export function secondsLeft(context: EngineContext, row: number): number {
  const ticks = ((context.connections.rows[(row << ROW_SHIFT) + EXPIRES_TICK] as number) - context.nowTick) | 0;
  return ticks > 0 ? Math.floor(ticks / TICKS_PER_SECOND) : 0;
}
