/**
 * Firecracker's API: what is sent, what comes back.
 * Source: Firecracker, src/firecracker/swagger/firecracker.yaml, version 1.12; what is sent here is the same from version 1.1 on.
 */
import { KataError } from "../../../kata-error.ts";
import type { RestClient, RestMethod } from "../rest-client.ts";

/** Taking the guest's memory and loading its kernel may wait for huge pages, ms. */
const START_DEADLINE_MS = 20_000;
/** All of the guest's memory is written, ms. */
const SNAPSHOT_DEADLINE_MS = 120_000;
/** Writing a line, ms: a monitor that is stuck is about to be killed. */
const FLUSH_DEADLINE_MS = 500;

export interface TokenBucket {
  /** Bytes or operations that it holds. */
  readonly size: number;
  /** Beyond that, once. */
  readonly one_time_burst?: number;
  /** Until an empty one is full, ms. */
  readonly refill_time: number;
}

export interface RateLimiter {
  readonly bandwidth?: TokenBucket;
  readonly ops?: TokenBucket;
}

export interface MachineConfiguration {
  readonly vcpu_count: number;
  readonly mem_size_mib: number;
  readonly smt: boolean;
  readonly huge_pages?: "None" | "2M";
}

export interface BootSource {
  readonly kernel_image_path: string;
  readonly initrd_path?: string;
  readonly boot_args: string;
}

export interface Drive {
  readonly drive_id: string;
  readonly path_on_host: string;
  readonly is_root_device: boolean;
  readonly is_read_only: boolean;
  /** `Unsafe` does not offer the guest to have its data written to the disk. */
  readonly cache_type: "Unsafe" | "Writeback";
  readonly rate_limiter?: RateLimiter;
}

export interface NetworkInterface {
  readonly iface_id: string;
  readonly guest_mac: string;
  /** A tap in the monitor's network namespace. */
  readonly host_dev_name: string;
  readonly rx_rate_limiter?: RateLimiter;
  readonly tx_rate_limiter?: RateLimiter;
}

export interface Vsock {
  readonly guest_cid: number;
  readonly uds_path: string;
}

export interface LoggerConfiguration {
  readonly log_path: string;
  readonly level: "Error" | "Warning" | "Info" | "Debug";
  readonly show_level: boolean;
  readonly show_log_origin: boolean;
}

export interface InstanceInfo {
  readonly state: string;
  /** `1.12.1` */
  readonly version: string;
}

export class FirecrackerApi {
  readonly #client: RestClient;

  constructor(client: RestClient) {
    this.#client = client;
  }

  async info(): Promise<InstanceInfo> {
    const { value } = await this.#client.request({ method: "GET", path: "/" });
    return { state: textOf(value, "state"), version: textOf(value, "vmm_version") };
  }

  setLogger(logger: LoggerConfiguration): Promise<void> {
    return this.#send("PUT", "/logger", logger);
  }

  /** @param path of a FIFO or file that a line of JSON is written to each minute, and when {@link flushMetrics} asks for it. */
  setMetrics(path: string): Promise<void> {
    return this.#send("PUT", "/metrics", { metrics_path: path });
  }

  setMachine(machine: MachineConfiguration): Promise<void> {
    return this.#send("PUT", "/machine-config", machine);
  }

  setBootSource(source: BootSource): Promise<void> {
    return this.#send("PUT", "/boot-source", source);
  }

  addDrive(drive: Drive): Promise<void> {
    return this.#send("PUT", `/drives/${drive.drive_id}`, drive);
  }

  /** Opens the drive's backing anew, at another path or the same: its size is what it is then. */
  changeDrive(id: string, path: string): Promise<void> {
    return this.#send("PATCH", `/drives/${id}`, { drive_id: id, path_on_host: path });
  }

  addNetworkInterface(card: NetworkInterface): Promise<void> {
    return this.#send("PUT", `/network-interfaces/${card.iface_id}`, card);
  }

  setVsock(vsock: Vsock): Promise<void> {
    return this.#send("PUT", "/vsock", vsock);
  }

  /** A device that gives the guest the host's randomness. */
  addEntropy(): Promise<void> {
    return this.#send("PUT", "/entropy", {});
  }

  start(): Promise<void> {
    return this.#send("PUT", "/actions", { action_type: "InstanceStart" }, START_DEADLINE_MS);
  }

  /** Has the metrics written now. */
  flushMetrics(): Promise<void> {
    return this.#send("PUT", "/actions", { action_type: "FlushMetrics" }, FLUSH_DEADLINE_MS);
  }

  /** Writes all of a machine that is paused into two files; it stays paused. */
  createSnapshot(state: string, memory: string): Promise<void> {
    const request = { snapshot_type: "Full", snapshot_path: state, mem_file_path: memory };
    return this.#send("PUT", "/snapshot/create", request, SNAPSHOT_DEADLINE_MS);
  }

  /**
   * Goes on with a machine that was saved, in the place of describing one. Its memory is mapped privately: the file stays as it is, and
   * has to be there as long as the machine.
   */
  loadSnapshot(state: string, memory: string): Promise<void> {
    const request = {
      snapshot_path: state,
      mem_backend: { backend_type: "File", backend_path: memory },
      resume_vm: true,
    };
    return this.#send("PUT", "/snapshot/load", request, START_DEADLINE_MS);
  }

  pause(): Promise<void> {
    return this.#send("PATCH", "/vm", { state: "Paused" });
  }

  resume(): Promise<void> {
    return this.#send("PATCH", "/vm", { state: "Resumed" });
  }

  close(): void {
    this.#client.close();
  }

  async #send(method: RestMethod, path: string, body: object, deadlineMs?: number): Promise<void> {
    await this.#client.request({ method, path, body, ...(deadlineMs === undefined ? {} : { deadlineMs }) });
  }
}

function textOf(value: unknown, name: string): string {
  const field: unknown = typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
  if (typeof field === "string") return field;
  throw new KataError("malformed-message", {
    operation: "Firecracker GET /",
    object: `no ${name} in its answer`,
  });
}
