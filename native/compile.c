/*
 * Build-time tool: compiles one bundled module to QuickJS bytecode.
 * usage: compile SCRIPT NAME OUTPUT   (NAME is what stack traces show)
 *
 * A module, not a script in a function of its own: the engine looks for a function's captured variables one after the other,
 * so that thousands of functions over thousands of variables cost more than all else at the start of a program.
 */
#include <stdio.h>
#include <stdlib.h>

#include "quickjs.h"

static char *read_whole(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    long length;
    char *text;
    if (file == NULL || fseek(file, 0, SEEK_END) || (length = ftell(file)) < 0) {
        perror(path);
        exit(1);
    }
    rewind(file);
    text = malloc((size_t)length + 1);
    if (text == NULL || fread(text, 1, (size_t)length, file) != (size_t)length) {
        perror(path);
        exit(1);
    }
    fclose(file);
    text[length] = '\0';
    *size = (size_t)length;
    return text;
}

int main(int argc, char **argv)
{
    size_t script_size, bytecode_size;
    if (argc != 4) {
        fprintf(stderr, "usage: compile SCRIPT NAME OUTPUT\n");
        return 2;
    }
    char *script = read_whole(argv[1], &script_size);
    JSRuntime *runtime = JS_NewRuntime();
    JSContext *ctx = JS_NewContext(runtime);
    JS_SetStripInfo(runtime, JS_STRIP_SOURCE);
    JSValue program = JS_Eval(ctx, script, script_size, argv[2], JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY);
    if (JS_IsException(program)) {
        JSValue exception = JS_GetException(ctx);
        JSValue stack = JS_GetPropertyStr(ctx, exception, "stack");
        fprintf(stderr, "%s\n%s\n", JS_ToCString(ctx, exception), JS_ToCString(ctx, stack));
        return 1;
    }
    uint8_t *bytecode = JS_WriteObject(ctx, &bytecode_size, program, JS_WRITE_OBJ_BYTECODE);
    FILE *output = fopen(argv[3], "wb");
    if (bytecode == NULL || output == NULL || fwrite(bytecode, 1, bytecode_size, output) != bytecode_size ||
        fclose(output) != 0) {
        perror(argv[3]);
        return 1;
    }
    return 0;
}
