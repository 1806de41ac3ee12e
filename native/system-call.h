/*
 * System calls by their names, and what they take: `__kata.syscall` and `__kata.nameSyscalls` of engine.c.
 */
#ifndef KATA_SYSTEM_CALL_H
#define KATA_SYSTEM_CALL_H

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "quickjs.h"

/* The most a system call takes, on every architecture. */
#define MAX_ARGUMENTS 6

/* The program's object of them; at first a number, which has no such properties. */
static JSValue syscall_numbers;
/* The engine's number for ArrayBuffers, which its header does not tell. */
static JSClassID array_buffer_class;

static void learn_array_buffers(JSContext *ctx)
{
    JSValue buffer = JS_NewArrayBufferCopy(ctx, NULL, 0);
    array_buffer_class = JS_GetClassID(buffer);
    JS_FreeValue(ctx, buffer);
}

/* Address and size of an ArrayBuffer or a typed array; false if it is neither. */
static int bytes_of(JSContext *ctx, JSValueConst value, uint8_t **data, size_t *size)
{
    size_t offset = 0, length = 0, whole = 0;
    /* Not by trial: an exception that nobody wants costs as much as ten system calls. */
    if (JS_GetClassID(value) == array_buffer_class) {
        *data = JS_GetArrayBuffer(ctx, size, value);
    } else {
        JSValue buffer = JS_GetTypedArrayBuffer(ctx, value, &offset, &length, NULL);
        if (JS_IsException(buffer)) {
            JS_FreeValue(ctx, JS_GetException(ctx));
            return 0;
        }
        *data = JS_GetArrayBuffer(ctx, &whole, buffer) + offset;
        *size = length;
        JS_FreeValue(ctx, buffer);
    }
    /* The engine answers NULL with an exception for what is no buffer, or is detached. */
    if (JS_HasException(ctx)) {
        JS_FreeValue(ctx, JS_GetException(ctx));
        return 0;
    }
    return 1;
}

static JSValue host_name_syscalls(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    JS_FreeValue(ctx, syscall_numbers);
    syscall_numbers = JS_DupValue(ctx, argv[0]);
    return JS_UNDEFINED;
}

/* The number of the system call of that name; negative if there is none, with an exception. */
static long syscall_number(JSContext *ctx, JSValueConst name)
{
    int32_t number = -1;
    JSAtom atom = JS_ValueToAtom(ctx, name);
    JSValue found = JS_GetProperty(ctx, syscall_numbers, atom);
    JS_FreeAtom(ctx, atom);
    if (JS_IsNumber(found))
        JS_ToInt32(ctx, &number, found);
    else if (!JS_IsException(found))
        JS_ThrowTypeError(ctx, "syscall: no number");
    JS_FreeValue(ctx, found);
    return number;
}

static JSValue host_syscall(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    long arguments[MAX_ARGUMENTS] = {0};
    const char *strings[MAX_ARGUMENTS] = {NULL};
    long number, result;
    JSValue thrown = JS_UNDEFINED;
    int i;

    if (argc - 1 > MAX_ARGUMENTS)
        return JS_ThrowTypeError(ctx, "syscall: more than %d arguments", MAX_ARGUMENTS);
    number = syscall_number(ctx, argv[0]);
    if (number < 0)
        return JS_EXCEPTION;

    for (i = 0; i < argc - 1; i++) {
        JSValueConst value = argv[i + 1];
        int64_t integer = 0;
        if (JS_VALUE_GET_TAG(value) == JS_TAG_INT) {
            arguments[i] = JS_VALUE_GET_INT(value);
        } else if (JS_IsNumber(value)) {
            JS_ToInt64(ctx, &integer, value);
            arguments[i] = (long)integer;
        } else if (JS_IsBigInt(ctx, value)) {
            JS_ToBigInt64(ctx, &integer, value);
            arguments[i] = (long)integer;
        } else if (JS_IsString(value)) {
            size_t length;
            strings[i] = JS_ToCStringLen(ctx, &length, value);
            if (strings[i] == NULL || strlen(strings[i]) != length) {
                thrown = strings[i] ? JS_ThrowTypeError(ctx, "syscall: a string holds a NUL") : JS_EXCEPTION;
                goto done;
            }
            arguments[i] = (long)strings[i];
        } else if (JS_IsNull(value)) {
            arguments[i] = 0;
        } else {
            uint8_t *data;
            size_t size;
            if (!bytes_of(ctx, value, &data, &size)) {
                thrown = JS_ThrowTypeError(ctx, "syscall: argument %d is of no usable type", i);
                goto done;
            }
            arguments[i] = (long)data;
        }
    }
    result = syscall(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
    if (result == -1)
        result = -errno;
done:
    for (i = 0; i < argc - 1; i++)
        if (strings[i] != NULL)
            JS_FreeCString(ctx, strings[i]);
    return JS_IsUndefined(thrown) ? JS_NewInt64(ctx, result) : thrown;
}

#endif
