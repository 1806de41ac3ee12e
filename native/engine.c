/*
 * The engine host: runs one bytecode program in QuickJS and gives it the kernel.
 *
 * The program sees one global, `__kata`:
 *   syscall(name, ...args)    the raw result; a failure is the negated errno. Arguments: numbers and bigints as they
 *                             are, null as 0, strings as NUL-terminated UTF-8, ArrayBuffers and typed arrays as the
 *                             address of their first byte.
 *   nameSyscalls(numbers)     the object with the number of each name; before the first call.
 *   addressOf(buffer)         address of an ArrayBuffer's or view's first byte, for pointers inside structures.
 *   utf8Encode(string)        ArrayBuffer.
 *   utf8EncodeInto(string, buffer, offset)   the bytes it has; they are written only if they fit.
 *   utf8Decode(buffer, offset, length)   string; invalid bytes become U+FFFD.
 *   argv, environ             lists of strings.
 *   pageOf(address, length)   ArrayBuffer over mapped memory that the caller keeps mapped.
 *   sourceLines(name)         ArrayBuffer: the build's table from lines of the part of that name to TypeScript lines;
 *                             null if there is no such part.
 *   runModule(buffer)         runs a bytecode module that is no part of the program, and gives its exports.
 *   tick, onUncaught, onRejection   set by the program; see run_loop(), report() and rejection_tracker().
 *
 * Memory that a call hands to the kernel stays put: the engine never moves array buffers, and the arguments are
 * referenced by the caller's frame until the call is over.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "allocator.h"
#include "quickjs.h"
#include "system-call.h"

#define STACK_BYTES (1024 * 1024)
/* Exit status of a program that ended by an uncaught error. */
#define EXIT_UNCAUGHT 70

/* A module of the program: the first is where it begins, the others are read when something imports them. */
struct part {
    const char *name;
    const uint8_t *bytecode, *bytecode_end;
    const uint8_t *source_lines, *source_lines_end;
};

/* Laid into the binary by the build; the last one has no name. */
extern const struct part kata_parts[];
/* All parts' bytecode together. */
extern const uint8_t kata_bytecode[], kata_bytecode_end[];
extern char **environ;

static JSValue host;
static JSValue host_address_of(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    uint8_t *data;
    size_t size;
    if (!bytes_of(ctx, argv[0], &data, &size))
        return JS_ThrowTypeError(ctx, "addressOf: not a buffer");
    return JS_NewInt64(ctx, (int64_t)(uintptr_t)data);
}

static JSValue host_page_of(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    int64_t address, length;
    if (JS_ToInt64(ctx, &address, argv[0]) || JS_ToInt64(ctx, &length, argv[1]) || address <= 0 || length <= 0)
        return JS_ThrowRangeError(ctx, "pageOf: address and length must be positive");
    return JS_NewArrayBuffer(ctx, (uint8_t *)(uintptr_t)address, (size_t)length, NULL, NULL, 0);
}

static JSValue host_utf8_encode(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    size_t length;
    const char *text = JS_ToCStringLen(ctx, &length, argv[0]);
    JSValue buffer;
    if (text == NULL)
        return JS_EXCEPTION;
    buffer = JS_NewArrayBufferCopy(ctx, (const uint8_t *)text, length);
    JS_FreeCString(ctx, text);
    return buffer;
}

static JSValue host_utf8_encode_into(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    uint8_t *data;
    size_t size, length;
    int64_t offset;
    const char *text = JS_ToCStringLen(ctx, &length, argv[0]);
    if (text == NULL)
        return JS_EXCEPTION;
    if (!bytes_of(ctx, argv[1], &data, &size) || JS_ToInt64(ctx, &offset, argv[2]) || offset < 0 ||
        offset > (int64_t)size) {
        JS_FreeCString(ctx, text);
        return JS_ThrowRangeError(ctx, "utf8EncodeInto: outside of the buffer");
    }
    if (length <= size - (size_t)offset)
        memcpy(data + offset, text, length);
    JS_FreeCString(ctx, text);
    return JS_NewInt64(ctx, (int64_t)length);
}

static JSValue host_utf8_decode(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    uint8_t *data;
    size_t size;
    int64_t offset = 0, length;
    if (!bytes_of(ctx, argv[0], &data, &size))
        return JS_ThrowTypeError(ctx, "utf8Decode: not a buffer");
    if (argc > 1 && JS_ToInt64(ctx, &offset, argv[1]))
        return JS_EXCEPTION;
    length = (int64_t)size - offset;
    if (argc > 2 && JS_ToInt64(ctx, &length, argv[2]))
        return JS_EXCEPTION;
    if (offset < 0 || length < 0 || offset > (int64_t)size || length > (int64_t)size - offset)
        return JS_ThrowRangeError(ctx, "utf8Decode: outside of the buffer");
    return JS_NewStringLen(ctx, (const char *)data + offset, (size_t)length);
}

/*
 * Gives back the memory of what was read of the program's file: the engine has made itself a copy, since the names in bytecode
 * have other numbers in each program. The kernel maps more of a file than what is touched; what is wanted again is read again.
 */
static void forget_file(void)
{
    madvise((void *)kata_bytecode, (size_t)(kata_bytecode_end - kata_bytecode), MADV_DONTNEED);
}

static const struct part *find_part(const char *name)
{
    const struct part *part = kata_parts;
    while (part->name != NULL && strcmp(part->name, name) != 0)
        part++;
    return part->name == NULL ? NULL : part;
}

static JSValue read_part(JSContext *ctx, const struct part *part)
{
    JSValue module = JS_ReadObject(ctx, part->bytecode, (size_t)(part->bytecode_end - part->bytecode),
                                   JS_READ_OBJ_BYTECODE | JS_READ_OBJ_ROM_DATA);
    forget_file();
    return module;
}

/* The engine asks for what a module imports, at once or later by import(). */
static JSModuleDef *load_part(JSContext *ctx, const char *name, void *opaque)
{
    const struct part *part = find_part(name);
    JSValue module;
    if (part == NULL) {
        JS_ThrowReferenceError(ctx, "the program has no part %s", name);
        return NULL;
    }
    module = read_part(ctx, part);
    /* The engine's list of modules holds it. */
    JS_FreeValue(ctx, module);
    return JS_IsException(module) ? NULL : JS_VALUE_GET_PTR(module);
}

static JSValue host_source_lines(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    const char *name = JS_ToCString(ctx, argv[0]);
    const struct part *part = name == NULL ? NULL : find_part(name);
    if (name == NULL)
        return JS_EXCEPTION;
    JS_FreeCString(ctx, name);
    if (part == NULL)
        return JS_NULL;
    return JS_NewArrayBuffer(ctx, (uint8_t *)part->source_lines,
                             (size_t)(part->source_lines_end - part->source_lines), NULL, NULL, 0);
}

/* Runs a module that was read and gives its exports. It awaits nothing at its top, so that its promise is settled at once. */
static JSValue run_module(JSContext *ctx, JSValue program)
{
    if (JS_IsException(program))
        return program;
    if (JS_ResolveModule(ctx, program) < 0)
        return JS_EXCEPTION;
    JSModuleDef *module = JS_VALUE_GET_PTR(program);
    JSValue result = JS_EvalFunction(ctx, program);
    if (JS_IsException(result))
        return result;
    if (JS_PromiseState(ctx, result) == JS_PROMISE_REJECTED)
        return JS_Throw(ctx, JS_PromiseResult(ctx, result));
    JS_FreeValue(ctx, result);
    return JS_GetModuleNamespace(ctx, module);
}

static JSValue host_run_module(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    uint8_t *data;
    size_t size;
    if (!bytes_of(ctx, argv[0], &data, &size))
        return JS_ThrowTypeError(ctx, "runModule: not a buffer");
    return run_module(ctx, JS_ReadObject(ctx, data, size, JS_READ_OBJ_BYTECODE));
}

static JSValue string_list(JSContext *ctx, char **strings)
{
    JSValue list = JS_NewArray(ctx);
    for (uint32_t i = 0; strings != NULL && strings[i] != NULL; i++)
        JS_SetPropertyUint32(ctx, list, i, JS_NewString(ctx, strings[i]));
    return list;
}

static void write_error(const char *text, size_t length)
{
    while (length > 0) {
        ssize_t written = write(STDERR_FILENO, text, length);
        if (written <= 0)
            return;
        text += written;
        length -= (size_t)written;
    }
}

static void print_value(JSContext *ctx, JSValueConst value)
{
    size_t length;
    const char *text = JS_ToCStringLen(ctx, &length, value);
    if (text != NULL) {
        write_error(text, length);
        write_error("\n", 1);
        JS_FreeCString(ctx, text);
    }
}

/* Tells the program of its uncaught exception; if it cannot take it, prints it. Never returns. */
static _Noreturn void report(JSContext *ctx)
{
    JSValue exception = JS_GetException(ctx);
    JSValue handler = JS_GetPropertyStr(ctx, host, "onUncaught");
    if (JS_IsFunction(ctx, handler)) {
        JSValue result = JS_Call(ctx, handler, JS_UNDEFINED, 1, (JSValueConst *)&exception);
        if (!JS_IsException(result))
            _exit(EXIT_UNCAUGHT);
    }
    print_value(ctx, exception);
    JSValue stack = JS_GetPropertyStr(ctx, exception, "stack");
    if (JS_IsString(stack))
        print_value(ctx, stack);
    _exit(EXIT_UNCAUGHT);
}

static void rejection_tracker(JSContext *ctx, JSValueConst promise, JSValueConst reason, JS_BOOL handled, void *opaque)
{
    JSValue handler = JS_GetPropertyStr(ctx, host, "onRejection");
    if (JS_IsFunction(ctx, handler)) {
        JSValueConst arguments[3] = {promise, reason, handled ? JS_TRUE : JS_FALSE};
        JSValue result = JS_Call(ctx, handler, JS_UNDEFINED, 3, arguments);
        if (JS_IsException(result))
            report(ctx);
        JS_FreeValue(ctx, result);
    }
    JS_FreeValue(ctx, handler);
}

/* Runs promise jobs to the end, then one `__kata.tick()`, until that answers false. */
static void run_loop(JSRuntime *runtime, JSContext *ctx)
{
    for (;;) {
        JSContext *job_context;
        int more;
        while ((more = JS_ExecutePendingJob(runtime, &job_context)) > 0)
            ;
        if (more < 0)
            report(job_context);
        JSValue tick = JS_GetPropertyStr(ctx, host, "tick");
        if (!JS_IsFunction(ctx, tick))
            return;
        JSValue result = JS_Call(ctx, tick, JS_UNDEFINED, 0, NULL);
        JS_FreeValue(ctx, tick);
        if (JS_IsException(result))
            report(ctx);
        more = JS_ToBool(ctx, result);
        JS_FreeValue(ctx, result);
        if (!more)
            return;
    }
}

static void define(JSContext *ctx, const char *name, JSCFunction *function, int length)
{
    JS_SetPropertyStr(ctx, host, name, JS_NewCFunction(ctx, function, name, length));
}

int main(int argc, char **argv)
{
    JSRuntime *runtime = JS_NewRuntime2(&engine_memory, NULL);
    JSContext *ctx = runtime ? JS_NewContextRaw(runtime) : NULL;
    if (ctx == NULL) {
        write_error("out of memory\n", 14);
        return EXIT_UNCAUGHT;
    }
    JS_SetMaxStackSize(runtime, STACK_BYTES);
    JS_AddIntrinsicBaseObjects(ctx);
    JS_AddIntrinsicDate(ctx);
    JS_AddIntrinsicRegExpCompiler(ctx);
    JS_AddIntrinsicRegExp(ctx);
    JS_AddIntrinsicJSON(ctx);
    JS_AddIntrinsicMapSet(ctx);
    JS_AddIntrinsicTypedArrays(ctx);
    JS_AddIntrinsicPromise(ctx);
    JS_AddIntrinsicWeakRef(ctx);
    JS_SetHostPromiseRejectionTracker(runtime, rejection_tracker, NULL);
    JS_SetModuleLoaderFunc(runtime, NULL, load_part, NULL);

    learn_array_buffers(ctx);
    host = JS_NewObject(ctx);
    define(ctx, "syscall", host_syscall, MAX_ARGUMENTS + 1);
    define(ctx, "nameSyscalls", host_name_syscalls, 1);
    define(ctx, "addressOf", host_address_of, 1);
    define(ctx, "pageOf", host_page_of, 2);
    define(ctx, "utf8Encode", host_utf8_encode, 1);
    define(ctx, "utf8EncodeInto", host_utf8_encode_into, 3);
    define(ctx, "utf8Decode", host_utf8_decode, 3);
    define(ctx, "sourceLines", host_source_lines, 1);
    define(ctx, "runModule", host_run_module, 1);
    JS_SetPropertyStr(ctx, host, "argv", string_list(ctx, argv));
    JS_SetPropertyStr(ctx, host, "environ", string_list(ctx, environ));
    JS_SetPropertyStr(ctx, host, "architecture", JS_NewString(ctx, KATA_ARCHITECTURE));
    JSValue global = JS_GetGlobalObject(ctx);
    JS_SetPropertyStr(ctx, global, "__kata", JS_DupValue(ctx, host));
    JS_FreeValue(ctx, global);

    JSValue exports = run_module(ctx, read_part(ctx, kata_parts));
    if (JS_IsException(exports))
        report(ctx);
    JS_FreeValue(ctx, exports);
    run_loop(runtime, ctx);
    return 0;
}
