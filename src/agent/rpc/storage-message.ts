/** The protocol's Storage as the agent's. */
import { KataError } from "../../kata-error.ts";
import { joinLayers } from "../storage/multi-layer.ts";
import type { Storage } from "../storage/storage.ts";
import { FSGroupChangePolicy, type StorageMessage } from "./generated.ts";

/** Most storages of one request: a container has a handful of volumes. */
const MAX_STORAGES = 4096;

export function decodeStorages(messages: readonly StorageMessage[]): Storage[] {
  if (messages.length > MAX_STORAGES) {
    throw new KataError("invalid-argument", {
      operation: "provide storages",
      object: `${messages.length} of them`,
      hint: `at most ${MAX_STORAGES} are taken`,
    });
  }
  return joinLayers(messages.map(decodeStorage));
}

function decodeStorage(message: StorageMessage): Storage {
  return {
    driver: message.driver,
    driverOptions: message.driverOptions,
    source: message.source,
    fstype: message.fstype,
    options: message.options,
    mountPoint: message.mountPoint,
    group:
      message.fsGroup === undefined
        ? undefined
        : {
            gid: message.fsGroup.groupId,
            onRootMismatch: message.fsGroup.groupChangePolicy === FSGroupChangePolicy.OnRootMismatch,
          },
  };
}
