/** What the words of `uipvs` use of this room, loaded when one of them is typed. */
export { PacketIoError } from '../packet-io/packet-io.ts';
export { CaptureFileError } from '../wire/capture-format.ts';
export { replay } from './replay.ts';
export { formatReplay } from './replay-report.ts';
export { fileSink, streamSink } from './sink.ts';
