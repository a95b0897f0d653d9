/* hello: the command `hello-c [NAME]`, a hook at system.startup and a health check, in plain C.
 *
 * It reads no more JSON than it needs: texts stay as they are written, escapes and all, since they go out as JSON again. */
#include <string.h>

#include "nexcage_plugin.h"

enum { GREETING_MAX = 256, REPLY_MAX = 8192, NAME_MAX_BYTES = 4096 };

static const nxc_host *host;

/* Written by init and config_reload, read by execute; the host makes one call at a time. */
static char greeting[GREETING_MAX] = "Hello";
static size_t greeting_len = 5;

static nxc_str lend(const char *text) {
    nxc_str lent = {text, strlen(text)};
    return lent;
}

static int32_t reply(uint64_t call, nxc_str bytes) { return host->reply_write(host->ctx, call, bytes); }

static int32_t refuse(uint64_t call, int32_t status, const char *why) {
    reply(call, lend(why));
    return status;
}

/* A place in a JSON text. */
typedef struct {
    const char *at;
    const char *end;
} json;

static void skip_space(json *text) {
    while (text->at < text->end && memchr(" \t\r\n", *text->at, 4))
        text->at++;
}

static int take(json *text, char wanted) {
    skip_space(text);
    if (text->at == text->end || *text->at != wanted)
        return 0;
    text->at++;
    return 1;
}

/* A string's bytes between its quotes; 0 where there is none. */
static int take_string(json *text, nxc_str *string) {
    if (!take(text, '"'))
        return 0;
    string->ptr = text->at;
    while (text->at < text->end && *text->at != '"')
        text->at += *text->at == '\\' && text->at + 1 < text->end ? 2 : 1;
    if (text->at >= text->end)
        return 0;
    string->len = (size_t)(text->at - string->ptr);
    text->at++;
    return 1;
}

/* Any value, whatever is in it. */
static int skip_value(json *text) {
    nxc_str ignored;
    size_t depth = 0;
    skip_space(text);
    do {
        if (text->at == text->end)
            return 0;
        char first = *text->at;
        if (first == '"') {
            if (!take_string(text, &ignored))
                return 0;
        } else {
            depth += first == '{' || first == '[';
            if ((first == '}' || first == ']') && depth-- == 0)
                return 0;
            text->at++;
        }
        while (depth == 0 && text->at < text->end && first != '"' && !memchr(",}] \t\r\n", *text->at, 7))
            text->at++;
    } while (depth > 0);
    return 1;
}

/* Moves to the value of a member of an object. */
static int find(json *text, const char *name) {
    nxc_str key;
    if (!take(text, '{'))
        return 0;
    while (take_string(text, &key) && take(text, ':')) {
        if (key.len == strlen(name) && memcmp(key.ptr, name, key.len) == 0)
            return 1;
        if (!skip_value(text) || !take(text, ','))
            return 0;
    }
    return 0;
}

static int32_t configure(void *ctx, uint64_t call, nxc_str input) {
    json text = {input.ptr, input.ptr + input.len};
    nxc_str wanted = lend("Hello");
    (void)ctx;
    if (find(&text, "greeting") && !take_string(&text, &wanted))
        return refuse(call, NXC_INVALID_ARGUMENT, "greeting: want a string");
    if (wanted.len > GREETING_MAX)
        return refuse(call, NXC_INVALID_ARGUMENT, "greeting: at most 256 bytes");
    memcpy(greeting, wanted.ptr, wanted.len);
    greeting_len = wanted.len;
    return NXC_OK;
}

static int32_t nothing(void *ctx, uint64_t call, nxc_str input) {
    (void)ctx, (void)call, (void)input;
    return NXC_OK;
}

static int32_t health(void *ctx, uint64_t call, nxc_str input) {
    (void)ctx, (void)input;
    return reply(call, lend("{\"healthy\":true,\"message\":\"hello is well\"}"));
}

static int32_t list_commands(void *ctx, uint64_t call, nxc_str input) {
    (void)ctx, (void)input;
    return reply(call, lend("[{\"name\":\"hello-c\",\"about\":\"Greet somebody\"}]"));
}

static int32_t help(void *ctx, uint64_t call, nxc_str input) {
    (void)ctx, (void)input;
    return reply(call, lend("\"Greet somebody, the world if nobody is named.\\n\\nUsage: nexcage hello-c [NAME]\""));
}

/* The arguments of a command: the first one, and how many there are. */
static size_t arguments(nxc_str input, nxc_str *first) {
    json text = {input.ptr, input.ptr + input.len};
    nxc_str word;
    size_t count = 0;
    if (!find(&text, "args") || !take(&text, '['))
        return 0;
    while (take_string(&text, &word)) {
        if (count++ == 0)
            *first = word;
        if (!take(&text, ','))
            break;
    }
    return count;
}

static int32_t validate(void *ctx, uint64_t call, nxc_str input) {
    nxc_str name = {0, 0};
    (void)ctx;
    if (arguments(input, &name) > 1)
        return refuse(call, NXC_INVALID_ARGUMENT, "greet one at a time: at most one NAME");
    if (name.len > NAME_MAX_BYTES)
        return refuse(call, NXC_INVALID_ARGUMENT, "NAME is longer than 4096 bytes");
    return NXC_OK;
}

static int32_t execute(void *ctx, uint64_t call, nxc_str input) {
    nxc_str name = lend("world"), greet = {greeting, greeting_len};
    nxc_str parts[] = {lend("{\"exit_code\":0,\"stdout\":\""), greet, lend(", "), name, lend("!\\n\",\"stderr\":\"\"}")};
    (void)ctx;
    arguments(input, &parts[3]);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        int32_t status = reply(call, parts[i]);
        if (status != NXC_OK)
            return status;
    }
    return NXC_OK;
}

static int32_t complete(void *ctx, uint64_t call, nxc_str input) {
    (void)ctx, (void)input;
    return reply(call, lend("[\"world\"]"));
}

static int32_t event(void *ctx, uint64_t call, nxc_str input) {
    json text = {input.ptr, input.ptr + input.len};
    nxc_str point = {0, 0};
    (void)ctx;
    if (find(&text, "point") && take_string(&text, &point) && point.len == 14 &&
        memcmp(point.ptr, "system.startup", 14) == 0)
        host->log(host->ctx, NXC_LOG_INFO, lend("hello"), lend("hello has started"));
    return reply(call, lend("{\"verdict\":\"allow\"}"));
}

static const nxc_cli_command commands = {
    sizeof(nxc_cli_command), NXC_API_VERSION, list_commands, help, validate, execute, complete,
};
static const nxc_hook hook = {sizeof(nxc_hook), NXC_API_VERSION, event};

static const void *extension(void *ctx, nxc_str name) {
    const struct {
        const char *name;
        const void *table;
    } all[] = {{"nexcage.cli_command/1", &commands}, {"nexcage.hook/1", &hook}};
    (void)ctx;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strlen(all[i].name) == name.len && memcmp(all[i].name, name.ptr, name.len) == 0)
            return all[i].table;
    return 0;
}

static const nxc_plugin plugin = {
    sizeof(nxc_plugin), NXC_API_VERSION, 0,         {"hello-c", 7}, {"1.0.0", 5}, configure, nothing,
    configure,          health,          extension,
};

int32_t nexcage_plugin_entry(uint32_t host_api, const nxc_host *offered, const nxc_plugin **out) {
    (void)host_api;
    host = offered;
    *out = &plugin;
    return NXC_OK;
}
