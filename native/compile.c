/*
 * Build-time tool: compiles the bundled modules of a program to QuickJS bytecode.
 * usage: compile [--without-lines] {SCRIPT NAME OUTPUT}...
 *
 * NAME is what stack traces show, and what the others import; --without-lines makes less of it, whose stack traces name functions alone.
 *
 * A module, not a script in a function of its own: the engine looks for a function's captured variables one after the other,
 * so that thousands of functions over thousands of variables cost more than all else at the start of a program.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* Who imports a module is compiled without it: the program finds it by its name. */
static int no_exports(JSContext *ctx, JSModuleDef *module)
{
    return 0;
}

static JSModuleDef *stand_in(JSContext *ctx, const char *name, void *opaque)
{
    return JS_NewCModule(ctx, name, no_exports);
}

/* False if it could not be done, which is told then. */
static int compile(JSRuntime *runtime, const char *path, const char *name, const char *output_path)
{
    size_t script_size, bytecode_size;
    char *script = read_whole(path, &script_size);
    JSContext *ctx = JS_NewContext(runtime);
    JSValue program = JS_Eval(ctx, script, script_size, name, JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY);
    if (JS_IsException(program)) {
        JSValue exception = JS_GetException(ctx);
        JSValue stack = JS_GetPropertyStr(ctx, exception, "stack");
        fprintf(stderr, "%s: %s\n%s\n", path, JS_ToCString(ctx, exception), JS_ToCString(ctx, stack));
        return 0;
    }
    uint8_t *bytecode = JS_WriteObject(ctx, &bytecode_size, program, JS_WRITE_OBJ_BYTECODE);
    FILE *output = fopen(output_path, "wb");
    if (bytecode == NULL || output == NULL || fwrite(bytecode, 1, bytecode_size, output) != bytecode_size ||
        fclose(output) != 0) {
        perror(output_path);
        return 0;
    }
    return 1;
}

int main(int argc, char **argv)
{
    int without_lines = argc > 1 && strcmp(argv[1], "--without-lines") == 0;
    int first = 1 + without_lines;
    if (argc - first < 3 || (argc - first) % 3 != 0) {
        fprintf(stderr, "usage: compile [--without-lines] {SCRIPT NAME OUTPUT}...\n");
        return 2;
    }
    JSRuntime *runtime = JS_NewRuntime();
    JS_SetStripInfo(runtime, without_lines ? JS_STRIP_DEBUG : JS_STRIP_SOURCE);
    JS_SetModuleLoaderFunc(runtime, NULL, stand_in, NULL);
    for (int i = first; i < argc; i += 3)
        if (!compile(runtime, argv[i], argv[i + 1], argv[i + 2]))
            return 1;
    return 0;
}
