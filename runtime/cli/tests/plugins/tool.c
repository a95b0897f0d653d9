/* A plugin whose commands do what the tests of the bridge need, good and bad. NAME is the plugin's name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nexcage_plugin.h"

#ifndef NAME
#define NAME "tool"
#endif
#ifndef VERSION
#define VERSION NXC_API_VERSION
#endif

static const nxc_host *host;
static int taken;

static nxc_str lend(const char *text) {
    nxc_str lent = {text, strlen(text)};
    return lent;
}

static int32_t reply(uint64_t call, const char *text) { return host->reply_write(host->ctx, call, lend(text)); }

static int has(nxc_str input, const char *text) { return memmem(input.ptr, input.len, text, strlen(text)) != 0; }

static int32_t ok(void *ctx, uint64_t call, nxc_str input) {
    (void)ctx, (void)call;
    return has(input, "\"refuse\"") ? (reply(call, "I will not start"), NXC_INVALID_ARGUMENT) : NXC_OK;
}

static int32_t health(void *ctx, uint64_t call, nxc_str input) {
    (void)ctx, (void)input;
    return reply(call, "{\"healthy\":false,\"message\":\"a screw is loose\"}");
}

static int32_t list(void *ctx, uint64_t call, nxc_str input) {
    (void)ctx, (void)input;
    return reply(call, "[{\"name\":\"" NAME "\",\"about\":\"Do as told\"},{\"name\":\"state\",\"about\":\"Shadow\"},"
                       "{\"name\":\"both\",\"about\":\"Of two plugins\"}]");
}

static int32_t take(void *ctx, int32_t fd) {
    (void)ctx;
    taken = fd;
    return NXC_OK;
}

static int32_t ignore(void *ctx, nxc_str bytes) {
    (void)ctx, (void)bytes;
    return NXC_OK;
}

/* Into a JSON string. */
static int32_t print(void *ctx, nxc_str bytes) {
    uint64_t *call = ctx;
    for (size_t i = 0; i < bytes.len; i++) {
        char c = bytes.ptr[i], text[3] = {c, 0, 0};
        if (c == '"' || c == '\\')
            text[0] = '\\', text[1] = c;
        reply(*call, c == '\n' ? "\\n" : text);
    }
    return NXC_OK;
}

/* The argument of this number, without its escapes. */
static nxc_str argument(nxc_str input, int number, char *buffer, size_t size) {
    const char *at = memmem(input.ptr, input.len, "\"args\":[", 8), *end = input.ptr + input.len;
    size_t len = 0;
    for (at += 8; number >= 0 && at < end; number--) {
        at = memchr(at, '"', (size_t)(end - at));
        for (at++, len = 0; *at != '"' && len < size; at++)
            buffer[len++] = *at == '\\' ? *++at : *at;
        at++;
    }
    return (nxc_str){buffer, len};
}

/* Asks the broker, and says what it answers. */
static int32_t ask(uint64_t call, nxc_str input) {
    char name[64], body[4096], number[16];
    nxc_sink sink = {sizeof sink, NXC_API_VERSION, &call, print, 0};
    nxc_str effect = argument(input, 1, name, sizeof name), asked = argument(input, 2, body, sizeof body);
    reply(call, "{\"stdout\":\"");
    snprintf(number, sizeof number, "%d", (int)host->broker_call(host->ctx, call, effect, asked, &sink));
    reply(call, "\",\"exit_code\":");
    reply(call, number);
    return reply(call, "}");
}

/* A standard stream of the caller. */
static int open_stream(uint64_t call, const char *name) {
    nxc_sink sink = {sizeof sink, NXC_API_VERSION, 0, ignore, take};
    char input[64];
    snprintf(input, sizeof input, "{\"stream\":\"%s\"}", name);
    taken = -1;
    host->broker_call(host->ctx, call, lend("stream.open"), lend(input), &sink);
    return taken;
}

static int32_t cat(uint64_t call) {
    char buffer[4096];
    ssize_t count, written = 0;
    int in = open_stream(call, "stdin"), out = open_stream(call, "stdout");
    while (written >= 0 && (count = read(in, buffer, sizeof buffer)) > 0)
        written = write(out, buffer, (size_t)count);
    return reply(call, in < 0 || out < 0 || written < 0 ? "{\"exit_code\":9}" : "{\"exit_code\":0}");
}

static int32_t execute(void *ctx, uint64_t call, nxc_str input) {
    (void)ctx;
    if (has(input, "\"cat\""))
        return cat(call);
    if (has(input, "\"ask\""))
        return ask(call, input);
    if (has(input, "\"crash\""))
        abort();
    if (has(input, "\"spin\""))
        for (;;)
            ;
    if (has(input, "\"garbage\""))
        return reply(call, "no json");
    if (has(input, "\"log\""))
        host->log(host->ctx, NXC_LOG_WARN, lend("tool"), lend("a line\nand \x1b[31mmore"));
    if (has(input, "\"measure\""))
        host->metric(host->ctx, lend("screws"), 7.5, lend("{\"kind\":\"loose\"}"));
    if (has(input, "\"terminals\":[\"stdin\",\"stdout\",\"stderr\"]"))
        return reply(call, "{\"exit_code\":5,\"stdout\":\"a terminal\\n\"}");
    return reply(call, "{\"exit_code\":4,\"stdout\":\"out\\n\",\"stderr\":\"err\\n\"}");
}

static const nxc_cli_command commands = {sizeof(nxc_cli_command), NXC_API_VERSION, list, 0, 0, execute, 0};

static const void *extension(void *ctx, nxc_str name) {
    (void)ctx;
    return name.len == 21 && memcmp(name.ptr, "nexcage.cli_command/1", 21) == 0 ? &commands : 0;
}

static const nxc_plugin plugin = {
    sizeof(nxc_plugin), VERSION, 0, {NAME, sizeof NAME - 1}, {"1.0.0", 5}, ok, ok, ok, health, extension,
};

int32_t nexcage_plugin_entry(uint32_t host_api, const nxc_host *offered, const nxc_plugin **out) {
    (void)host_api;
    host = offered;
    *out = &plugin;
    return NXC_OK;
}
