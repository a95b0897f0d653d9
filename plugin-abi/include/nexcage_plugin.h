/* The interface between nexcage and a plugin.
 *
 * No memory ever changes its owner: strings are lent for the call, and output goes through reply_write. Every struct
 * starts with its size and version, and fields are only ever appended: use none beyond the struct_size of the other side.
 */

#ifndef NEXCAGE_PLUGIN_H
#define NEXCAGE_PLUGIN_H

/* Made by `cargo xtask header`; do not edit. */

#include <stddef.h>
#include <stdint.h>

/*
 The interface version of this header: major in the upper 16 bits, minor in the lower 16.
 */
#define NXC_API_VERSION 65536

/*
 Success.
 */
#define NXC_OK 0

/*
 An argument is missing, malformed or out of range.
 */
#define NXC_INVALID_ARGUMENT 1

/*
 The function, command or hook point is none that the callee knows.
 */
#define NXC_UNSUPPORTED 2

/*
 The capability for it was not granted.
 */
#define NXC_PERMISSION_DENIED 3

/*
 The named thing does not exist.
 */
#define NXC_NOT_FOUND 4

/*
 The deadline passed, or the call was cancelled.
 */
#define NXC_TIMEOUT 5

/*
 A limit of memory, size, rate or number was reached.
 */
#define NXC_RESOURCE_LIMIT 6

/*
 Anything else that went wrong inside the callee.
 */
#define NXC_INTERNAL 7

/*
 Log level: the operation failed.
 */
#define NXC_LOG_ERROR 1

/*
 Log level: it goes on with less.
 */
#define NXC_LOG_WARN 2

/*
 Log level: a status changed.
 */
#define NXC_LOG_INFO 3

/*
 Log level: steps.
 */
#define NXC_LOG_DEBUG 4

/*
 Log level: everything else.
 */
#define NXC_LOG_TRACE 5

/*
 Bytes of someone else, UTF-8 unless said otherwise, without a final zero. Valid during the call only.
 */
typedef struct nxc_str {
  /*
   The first byte; may be null when `len` is 0.
   */
  const char *ptr;
  /*
   Number of bytes.
   */
  size_t len;
} nxc_str;

/*
 Takes the answer of a broker call. The plugin owns it; the host uses it during the call only.
 */
typedef struct nxc_sink {
  /*
   `sizeof(nxc_sink)`.
   */
  uint32_t struct_size;
  /*
   `NXC_API_VERSION`.
   */
  uint32_t api_version;
  /*
   Handed to both functions.
   */
  void *ctx;
  /*
   Takes the next bytes of the answer: JSON, or the error's text when the call fails.
   */
  int32_t (*write)(void *ctx, struct nxc_str bytes);
  /*
   Takes a descriptor that comes with the answer; it is the plugin's from then on if this returns `NXC_OK`. Where
   this is null, the host closes the descriptor.
   */
  int32_t (*descriptor)(void *ctx, int32_t fd);
} nxc_sink;

/*
 What the host offers. Valid from `nexcage_plugin_entry` until `deinit` has returned; every function may be called
 from any thread. Functions beyond `struct_size` do not exist.
 */
typedef struct nxc_host {
  /*
   `sizeof(nxc_host)` of the host.
   */
  uint32_t struct_size;
  /*
   `NXC_API_VERSION` of the host.
   */
  uint32_t api_version;
  /*
   Handed to every function.
   */
  void *ctx;
  /*
   Writes a log line. `level` is one of `NXC_LOG_*`.
   */
  void (*log)(void *ctx, uint32_t level, struct nxc_str target, struct nxc_str message);
  /*
   Reports a measured value; `labels` is a JSON object of strings, or empty.
   */
  void (*metric)(void *ctx, struct nxc_str name, double value, struct nxc_str labels);
  /*
   Asks the broker for an effect, during a call: `input` and the answer are JSON.
   */
  int32_t (*broker_call)(void *ctx,
                         uint64_t call,
                         struct nxc_str method,
                         struct nxc_str input,
                         const struct nxc_sink *sink);
  /*
   Appends bytes to the reply of a call: JSON, or the error's text when the call returns another status than `NXC_OK`.
   */
  int32_t (*reply_write)(void *ctx, uint64_t call, struct nxc_str bytes);
  /*
   Tells whether a call was cancelled (1) or not (0).
   */
  int32_t (*cancelled)(void *ctx, uint64_t call);
  /*
   Milliseconds that a call has left; 0 when its deadline has passed, -1 when it has none.
   */
  int64_t (*deadline_ms)(void *ctx, uint64_t call);
} nxc_host;

/*
 Every function of a plugin but `get_extension`: `ctx` is the plugin's, `call` the number under which to reply,
 `input` JSON. May be called from several threads at once, but for `init` and `deinit`.
 */
typedef int32_t (*nxc_function)(void *ctx, uint64_t call, struct nxc_str input);

/*
 A plugin. The plugin owns it and keeps it as it is until its process ends.
 */
typedef struct nxc_plugin {
  /*
   `sizeof(nxc_plugin)` of the plugin.
   */
  uint32_t struct_size;
  /*
   `NXC_API_VERSION` of the plugin.
   */
  uint32_t api_version;
  /*
   Handed to every function of the plugin and of its extensions.
   */
  void *ctx;
  /*
   The plugin's name, as in its manifest.
   */
  struct nxc_str name;
  /*
   The plugin's version, as in its manifest.
   */
  struct nxc_str version;
  /*
   Called once, first. `input` is the plugin's configuration.
   */
  nxc_function init;
  /*
   Called once, last. `input` is empty.
   */
  nxc_function deinit;
  /*
   `input` is the new configuration. A plugin that refuses it keeps the old one.
   */
  nxc_function config_reload;
  /*
   Replies `{"healthy": true|false, "message": "..."}`. `input` is empty.
   */
  nxc_function health_check;
  /*
   The table of an extension, such as `nexcage.hook/1`; null when the plugin has none of that name.
   */
  const void *(*get_extension)(void *ctx, struct nxc_str name);
} nxc_plugin;

/*
 `nexcage.cli_command/1`: commands of the plugin in nexcage's command line.
 */
typedef struct nxc_cli_command {
  /*
   `sizeof(nxc_cli_command)`.
   */
  uint32_t struct_size;
  /*
   `NXC_API_VERSION`.
   */
  uint32_t api_version;
  /*
   Replies `[{"name": "...", "about": "..."}, ...]`. `input` is empty.
   */
  nxc_function list_commands;
  /*
   `{"command"}`: replies the help text as a JSON string.
   */
  nxc_function help;
  /*
   `{"command", "args": [...]}`: returns `NXC_INVALID_ARGUMENT` with a text for arguments that `execute` would refuse.
   */
  nxc_function validate;
  /*
   `{"command", "args": [...], "terminals": ["stdin", ...]}`: replies `{"exit_code": N, "stdout": "...", "stderr": "..."}`,
   each optional. While it runs, broker call `stream.open` with `{"stream": "stdin"}` gives the caller's stream itself;
   `terminals` names those that are terminals.
   */
  nxc_function execute;
  /*
   `{"command", "args": [...]}`: replies the words that may stand in place of the last argument.
   */
  nxc_function complete;
} nxc_cli_command;

/*
 `nexcage.hook/1`: events of hook points.
 */
typedef struct nxc_hook {
  /*
   `sizeof(nxc_hook)`.
   */
  uint32_t struct_size;
  /*
   `NXC_API_VERSION`.
   */
  uint32_t api_version;
  /*
   `{"point": "...", "data": {...}}`: replies `{"verdict": "allow"}`, `{"verdict": "adjust", "patch": [...]}` (a JSON
   Patch) or `{"verdict": "deny", "reason": "..."}`.
   */
  nxc_function event;
} nxc_hook;

/*
 `nexcage.backend/1`: what makes a container real. The inputs are objects with the container's `id`.
 */
typedef struct nxc_backend {
  /*
   `sizeof(nxc_backend)`.
   */
  uint32_t struct_size;
  /*
   `NXC_API_VERSION`.
   */
  uint32_t api_version;
  /*
   Replies what the backend can do. `input` is empty.
   */
  nxc_function features;
  /*
   `{"id", "bundle", "config"}`: makes a container whose program waits for `start`.
   */
  nxc_function create;
  /*
   `{"id"}`: runs the container's program.
   */
  nxc_function start;
  /*
   `{"id", "signal"}`: signals the container's program.
   */
  nxc_function kill;
  /*
   `{"id"}`: removes the container.
   */
  nxc_function remove;
  /*
   `{"id"}`: replies the container's state.
   */
  nxc_function state;
  /*
   `{"id", "process"}`: runs another program in the container.
   */
  nxc_function exec;
  /*
   `{"id"}`: freezes the container.
   */
  nxc_function pause;
  /*
   `{"id"}`: thaws the container.
   */
  nxc_function resume;
  /*
   `{"id", "resources"}`: changes the container's limits.
   */
  nxc_function update;
} nxc_backend;

/*
 `nexcage.integration/1`: a system beside nexcage, such as a cluster manager.
 */
typedef struct nxc_integration {
  /*
   `sizeof(nxc_integration)`.
   */
  uint32_t struct_size;
  /*
   `NXC_API_VERSION`.
   */
  uint32_t api_version;
  /*
   Makes ready to talk to the system. `input` is empty.
   */
  nxc_function connect;
  /*
   Ends that. `input` is empty.
   */
  nxc_function disconnect;
  /*
   `{"method", "params"}`: replies what the system answers.
   */
  nxc_function request;
} nxc_integration;

/*
 `nexcage.monitoring/1`: measured values.
 */
typedef struct nxc_monitoring {
  /*
   `sizeof(nxc_monitoring)`.
   */
  uint32_t struct_size;
  /*
   `NXC_API_VERSION`.
   */
  uint32_t api_version;
  /*
   Replies `[{"name", "value", "labels": {...}}, ...]`. `input` is empty.
   */
  nxc_function collect;
} nxc_monitoring;

/*
 `nexcage.storage/1`: volumes. The inputs are objects with the volume's `name`.
 */
typedef struct nxc_storage {
  /*
   `sizeof(nxc_storage)`.
   */
  uint32_t struct_size;
  /*
   `NXC_API_VERSION`.
   */
  uint32_t api_version;
  /*
   `{"name", "options"}`: makes a volume.
   */
  nxc_function create;
  /*
   `{"name"}`: replies where the volume is to be found.
   */
  nxc_function attach;
  /*
   `{"name"}`: ends what `attach` began.
   */
  nxc_function detach;
  /*
   `{"name"}`: removes a volume.
   */
  nxc_function remove;
  /*
   Replies the names of the volumes. `input` is empty.
   */
  nxc_function list;
} nxc_storage;

/*
 `nexcage.network/1`: a container's networks.
 */
typedef struct nxc_network {
  /*
   `sizeof(nxc_network)`.
   */
  uint32_t struct_size;
  /*
   `NXC_API_VERSION`.
   */
  uint32_t api_version;
  /*
   `{"id", "network", "options"}`: replies the interfaces made.
   */
  nxc_function attach;
  /*
   `{"id", "network"}`: ends what `attach` began.
   */
  nxc_function detach;
  /*
   `{"id"}`: replies the container's interfaces.
   */
  nxc_function status;
} nxc_network;

/*
 `nexcage.security/1`: decides on containers.
 */
typedef struct nxc_security {
  /*
   `sizeof(nxc_security)`.
   */
  uint32_t struct_size;
  /*
   `NXC_API_VERSION`.
   */
  uint32_t api_version;
  /*
   `{"id", "config"}`: replies a verdict, as a hook does.
   */
  nxc_function check;
} nxc_security;

/*
 The one symbol of a plugin, `nexcage_plugin_entry`. `host_api` is the host's `NXC_API_VERSION`. It stores the plugin
 and returns `NXC_OK`, or returns another status.
 */
typedef int32_t (*nxc_entry)(uint32_t host_api,
                             const struct nxc_host *host,
                             const struct nxc_plugin **plugin);

#endif  /* NEXCAGE_PLUGIN_H */

#ifdef __cplusplus
extern "C" {
#endif

/* What a plugin defines. */
int32_t nexcage_plugin_entry(uint32_t host_api, const nxc_host *host, const nxc_plugin **plugin);

#ifdef __cplusplus
}
#endif
