/** What one command line asks for, after all its words were understood. Plain data. */
import type { Command } from '../model/commands.ts';
import type { ServiceKey } from '../model/service.ts';
import type { CommandWord } from './option-table.ts';

/** The columns of a listing; `--stats` wins over `--rate`, and so on down the list. */
export const LIST_VIEWS = ['stats', 'rate', 'thresholds', 'persistent-conn', 'tun-info', 'plain'] as const;
export type ListView = (typeof LIST_VIEWS)[number];

export interface ListRequest {
  readonly kind: 'list';
  /** One service, or `null`: all. */
  readonly key: ServiceKey | null;
  readonly view: ListView;
  readonly numeric: boolean;
  readonly exact: boolean;
  readonly sorted: boolean;
}

export interface ConnectionsRequest {
  readonly kind: 'connections';
  readonly numeric: boolean;
  /** Two more columns: persistence engine and its data. */
  readonly engines: boolean;
}

export interface ChangeRequest {
  readonly kind: 'change';
  readonly word: CommandWord;
  readonly command: Command;
}

export type Request =
  | ChangeRequest
  | ListRequest
  | ConnectionsRequest
  | { readonly kind: 'save'; readonly numeric: boolean }
  | { readonly kind: 'timeouts' | 'daemons' | 'restore' | 'help' | 'version' };

/** Bare `ipvsadm`. */
export const LIST_EVERYTHING: ListRequest = {
  kind: 'list',
  key: null,
  view: 'plain',
  numeric: false,
  exact: false,
  sorted: true,
};
