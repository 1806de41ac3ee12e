/** The messages and services of containerd that the shim speaks, as `npm run generate` makes them from `proto/`. */
export { decodeAny, encodeAny } from "../../build/generated/any.ts";
export {
  type BootstrapParams,
  decodeBootstrapParams,
  encodeBootstrapParams,
  encodeBootstrapResult,
} from "../../build/generated/bootstrap.ts";
export {
  decodeMetrics as decodeMetricsV1,
  encodeMetrics as encodeMetricsV1,
  type Metrics as ReadMetricsV1,
  type MetricsInput as MetricsV1,
} from "../../build/generated/cgroups-v1.ts";
export {
  decodeMetrics as decodeMetricsV2,
  encodeMetrics as encodeMetricsV2,
  type Metrics as ReadMetricsV2,
  type MetricsInput as MetricsV2,
} from "../../build/generated/cgroups-v2.ts";
export {
  type DNSConfig,
  decodePodSandboxConfig,
  type PodSandboxConfig,
} from "../../build/generated/cri.ts";
export { eventsClient } from "../../build/generated/events.ts";
export { encodeRuntimeInfo } from "../../build/generated/introspection.ts";
export {
  decodeOptions as decodeRuncOptions,
  encodeProcessDetails,
} from "../../build/generated/runc-options.ts";
export {
  decodeOptions as decodeRuntimeOptions,
  encodeOptions as encodeRuntimeOptions,
} from "../../build/generated/runtime-options.ts";
export {
  type CreateSandboxRequest,
  type SandboxHandlers,
  sandboxClient,
  sandboxService,
} from "../../build/generated/sandbox-api.ts";
export {
  decodeStreamInit,
  type StreamingHandlers,
  streamingService,
} from "../../build/generated/streaming.ts";
export { Status as TaskStatus } from "../../build/generated/task.ts";
export {
  encodeTaskCreate,
  encodeTaskDelete,
  encodeTaskExecAdded,
  encodeTaskExecStarted,
  encodeTaskExit,
  encodeTaskOOM,
  encodeTaskPaused,
  encodeTaskResumed,
  encodeTaskStart,
} from "../../build/generated/task-events.ts";
export {
  type CloseIORequest,
  type CreateTaskRequest,
  type DeleteRequest,
  type DeleteResponseInput,
  type ExecProcessRequest,
  encodeDeleteResponse,
  type KillRequest,
  type ResizePtyRequest,
  type StateResponseInput,
  type TaskHandlers,
  taskClient,
  taskService,
  type UpdateTaskRequest,
} from "../../build/generated/task-v2.ts";
export {
  decodeData as decodeTransferData,
  encodeData as encodeTransferData,
  encodeWindowUpdate,
} from "../../build/generated/transfer-data.ts";
