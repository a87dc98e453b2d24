/** Every upper bound in the house. Reaching one is a counted drop or an IpvsError, never growth. */

/** Rows of the connection table unless told otherwise. Memory is taken as rows are used. */
export const CONNECTIONS_MAX_DEFAULT = 1 << 20;
export const CONNECTIONS_MAX_LIMIT = 1 << 24;
/** What `IP Virtual Server ... (size=N)` shows: the kernel's default number of buckets. */
export const CONNECTION_TABLE_SIZE = 4096;

/** Workers of one data plane, and how many of them `auto` takes: each asks every frame whether it is its own. */
export const SHARDS_MAX = 64;
export const SHARDS_AUTO_MAX = 4;

export const SERVICES_MAX = 65_536;
export const DESTINATIONS_MAX = 1 << 20;
/** Unresolved next hops, and frames parked for one of them. */
export const NEIGHBORS_MAX = 16_384;
export const PARKED_FRAMES_PER_NEIGHBOR = 16;
export const PARKED_FRAMES_MAX = 1_024;

/** Frames the engine itself may say in one turn, and the longest of them. */
export const OUTBOX_FRAMES = 512;
/** The same once super-frames had to be cut for a tunnel: a turn's worth of them. */
export const OUTBOX_FRAMES_MAX = 4096;
export const OUTBOX_FRAME_BYTES = 9_280;

/** Packets that are being watched at once, and what each watcher may leave unread: packets, and digits of their bytes. */
export const TRACES_MAX = 8;
export const TRACE_KEPT_MAX = 512;
export const TRACE_KEPT_BYTES_MAX = 4 * 1024 * 1024;

/** Frames per turn. */
export const BATCH_FRAMES = 64;
/** Largest frame a back end hands over: a 64 KiB super-frame with its headers. */
export const FRAME_BYTES_MAX = 65_536 + 128;

export const WEIGHT_MAX = 2_147_483_647;
export const PERSISTENCE_TIMEOUT_SECONDS_MAX = 2_678_400;
/** Services in one page of `listServices`, rows in one page of `listConnections`. */
export const SERVICE_PAGE_MAX = 256;
export const CONNECTION_PAGE_MAX = 1_024;
/** Body of one API request. */
export const API_BODY_BYTES_MAX = 16 * 1024 * 1024;
/** Commands in one API request. */
export const API_COMMANDS_MAX = 4_096;
/** Clients connected to the API at once, how many of them may watch events, and what may wait for a slow one. */
export const API_CLIENTS_MAX = 1_024;
export const API_WATCHERS_MAX = 64;
export const API_WATCHER_BACKLOG_BYTES_MAX = 1024 * 1024;

/** Programs whose health reports are held, the services of a report, the servers of each, and what is told of one. */
export const HEALTH_SOURCES_MAX = 64;
export const HEALTH_SERVICES_MAX = 4_096;
export const HEALTH_SERVERS_MAX = 4_096;
export const HEALTH_CHANGES_MAX = 20;
export const HEALTH_REASON_CHARACTERS_MAX = 200;

/** Captures of the running balancer at once; memory of each, and what one reading gives at most, in bytes. */
export const CAPTURES_MAX = 4;
export const CAPTURE_BUFFER_BYTES = 16 * 1024 * 1024;
export const CAPTURE_PAGE_BYTES = 1024 * 1024;
