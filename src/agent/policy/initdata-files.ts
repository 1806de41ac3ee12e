/** Where the files of initdata are in the guest. Source: upstream's agent, but for the last one. */
export const INITDATA_DIRECTORY = "/run/confidential-containers/initdata";

/** What `cdh.toml` says of images, for the agent, which reads no TOML: see {@link ImageSources}. */
export const IMAGE_SOURCES_FILE = "image.json";

/** Where what an image is pulled by comes from: `file:///PATH` in the guest, `kbs:///PATH` of the data hub, or the text itself. */
export interface ImageSources {
  /** Passwords of registries, as docker keeps them. */
  readonly credentials?: string;
  /** Which images are accepted, as containers-policy.json(5) has it. */
  readonly policy?: string;
}
