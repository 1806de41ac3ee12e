/** Images that were pulled: each once, however many containers are made of it, and removed after the last one. */
import { KataError } from "../../kata-error.ts";
import { CancelSource } from "../../sys/cancellation.ts";
import { loop } from "../../sys/event-loop.ts";
import { mkdirAll, removeTree } from "../../sys/files.ts";
import { DataHub, type DataHubTimeouts } from "../confidential/data-hub.ts";
import { AGENT_DIRECTORY } from "../sandbox/paths.ts";
import type { Settings } from "../settings.ts";
import { loadImageTrust } from "./image-trust.ts";
import { makePauseRoot, PAUSE_IMAGE } from "./pause-image.ts";
import { type PullContext, pullImage } from "./pull-image.ts";
import { openAuthorities, pullProgram } from "./pull-program.ts";

const IMAGES = `${AGENT_DIRECTORY}/images`;

export interface UsedImage {
  /** Directory with the image's files, which nobody changes. */
  readonly root: string;
  /** A directory of the user's own beside it. */
  readonly own: string;
  release(): void;
}

interface Pulled {
  users: number;
  readonly directory: string;
  readonly ready: Promise<void>;
}

export interface ImageStoreSettings extends Pick<PullContext, "timeoutMs" | "reaper"> {
  /** Registries that are spoken to without encryption. */
  readonly insecure: readonly string[];
  /** The directory that the machine booted from; undefined natively. */
  readonly initialRoot: number | undefined;
  /** What the owner says of images and their registries. */
  readonly trust: Settings["images"];
  readonly dataHub: DataHubTimeouts;
}

/** A store that pulls by the program and the certificates of this guest. */
export function openImageStore(settings: ImageStoreSettings): ImageStore {
  const { insecure, timeoutMs, reaper, initialRoot, trust, dataHub } = settings;
  return new ImageStore({
    insecure: new Set(insecure),
    timeoutMs,
    reaper,
    trust: () => loadImageTrust(trust, new DataHub(dataHub)),
    program: () => pullProgram(initialRoot),
    authorities: () => openAuthorities(initialRoot),
  });
}

export class ImageStore {
  readonly #context: PullContext;
  readonly #pulled = new Map<string, Pulled>();
  #made = 0;

  constructor(context: PullContext) {
    this.#context = context;
  }

  /** Pulls image `name`, unless it is there. @throws KataError; nothing is left then. */
  async use(name: string): Promise<UsedImage> {
    let image = this.#pulled.get(name);
    if (image === undefined) {
      const directory = `${IMAGES}/pulled-${++this.#made}`;
      image = { users: 0, directory, ready: this.#pull(name, `${directory}/rootfs`) };
      this.#pulled.set(name, image);
    }
    const used = image;
    used.users++;
    const release = () => this.#release(name, used);
    try {
      await used.ready;
    } catch (error) {
      release();
      throw error;
    }
    const own = `${used.directory}/user-${++this.#made}`;
    mkdirAll(own, 0o700);
    return {
      root: `${used.directory}/rootfs`,
      own,
      release() {
        removeTree(own);
        release();
      },
    };
  }

  #release(name: string, image: Pulled): void {
    if (--image.users > 0) return;
    if (this.#pulled.get(name) === image) this.#pulled.delete(name);
    removeTree(image.directory);
  }

  async #pull(name: string, root: string): Promise<void> {
    mkdirAll(root, 0o755);
    if (name === PAUSE_IMAGE) {
      await makePauseRoot(root);
      return;
    }
    const { timeoutMs } = this.#context;
    const giveUp = new CancelSource();
    const timer = loop.after(timeoutMs, () => {
      const hint = `it took more than ${timeoutMs / 1000} s: agent.image_pull_timeout in the guest's kernel parameters`;
      giveUp.cancel(new KataError("deadline-exceeded", { operation: "pull image", object: name, hint }));
    });
    try {
      await pullImage(name, root, this.#context, giveUp.signal);
    } catch (error) {
      throw named(giveUp.signal.aborted ? giveUp.signal.reason : error, name);
    } finally {
      timer.cancel();
    }
  }
}

/** The failure, with the image that it is about. */
function named(error: unknown, name: string): unknown {
  if (!(error instanceof KataError)) return error;
  return new KataError(error.code, {
    operation: "pull image",
    object: `${name}: ${error.message}`,
    cause: error,
  });
}
