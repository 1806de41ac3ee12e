/** The generated messages that ttrpc itself is made of. */
export {
  decodeRequest,
  decodeResponse,
  type Request,
  type RequestInput,
  type Response,
  type ResponseInput,
  writeRequest,
  writeResponse,
} from "../../build/generated/ttrpc.ts";
