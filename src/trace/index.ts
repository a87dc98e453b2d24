/** What the words of `uipvs` use of this room, loaded when one of them is typed. */

export { PacketIoError } from '../packet-io/packet-io.ts';
export { CaptureFileError } from '../wire/capture-format.ts';
export { Conversations } from './conversations.ts';
export { LiveCapture } from './live-capture.ts';
export { LiveWriter } from './live-writer.ts';
export { replay } from './replay.ts';
export { formatReplay } from './replay-report.ts';
export { fileSink, streamSink } from './sink.ts';
export { createTwoSides } from './two-sides.ts';
export { formatWatch, watchReport } from './watch-report.ts';
