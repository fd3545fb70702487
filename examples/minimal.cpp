/*
 * minimal.cpp: minimal.c in C++17: smart pointers close what was opened, a failure is an exception.
 *
 *   minimal_cpp MODEL PROMPT
 */
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <edgellm.h>

namespace
{

constexpr std::size_t longest_answer = 128; // in tokens

struct failure : std::runtime_error {
    explicit failure(const edgellm_error &err) : std::runtime_error(err.message), status(err.status)
    {
    }
    edgellm_status status;
};

struct closer {
    void operator()(edgellm_engine *engine) const noexcept
    {
        edgellm_engine_close(engine);
    }
    void operator()(edgellm_session *session) const noexcept
    {
        edgellm_session_close(session);
    }
};
using engine_ptr = std::unique_ptr<edgellm_engine, closer>;
using session_ptr = std::unique_ptr<edgellm_session, closer>;

void check(edgellm_status status, const edgellm_error &err)
{
    if (status != EDGELLM_OK) throw failure(err);
}

engine_ptr open_engine(const char *path)
{
    edgellm_engine *engine = nullptr;
    edgellm_error err;
    check(edgellm_engine_open(path, nullptr, &engine, &err), err);
    return engine_ptr(engine);
}

session_ptr open_session(const edgellm_engine &engine)
{
    edgellm_session *session = nullptr;
    edgellm_error err;
    check(edgellm_session_open(&engine, nullptr, &session, &err), err);
    return session_ptr(session);
}

// Asked twice: how many tokens, then which.
std::vector<uint32_t> chat_prompt(const edgellm_engine &engine, const char *text)
{
    const edgellm_message message = {"user", text};
    std::size_t count = 0;
    edgellm_error err;
    check(edgellm_chat_prompt(&engine, &message, 1, EDGELLM_CHAT_OPEN_ANSWER, nullptr, 0, &count,
                              &err),
          err);
    std::vector<uint32_t> tokens(count);
    check(edgellm_chat_prompt(&engine, &message, 1, EDGELLM_CHAT_OPEN_ANSWER, tokens.data(), count,
                              &count, &err),
          err);
    return tokens;
}

std::string answer(const edgellm_engine &engine, edgellm_session &session, const char *prompt)
{
    const std::vector<uint32_t> tokens = chat_prompt(engine, prompt);
    edgellm_stream stream = {};
    char text[EDGELLM_STREAM_BYTES];
    edgellm_memory_plan plan;
    edgellm_error err;
    std::string whole;
    edgellm_session_plan(&session, &plan);
    check(edgellm_session_eval(&session, tokens.data(), tokens.size(), nullptr, &err), err);
    for (std::size_t made = 1;; made++) {
        const uint32_t token = edgellm_session_sample(&session);
        if (edgellm_is_end(&engine, token)) break;
        whole.append(text, edgellm_stream_push(&engine, &stream, token, text));
        if (made == longest_answer || edgellm_session_position(&session) == plan.context) break;
        check(edgellm_session_eval(&session, &token, 1, nullptr, &err), err);
    }
    return whole.append(text, edgellm_stream_flush(&stream, text));
}

} // namespace

int main(int argc, char **argv)
{
    if (argc != 3) {
        std::fputs("usage: minimal_cpp MODEL PROMPT\n", stderr);
        return EDGELLM_ERR_USAGE;
    }
    try {
        const engine_ptr engine = open_engine(argv[1]);
        const session_ptr session = open_session(*engine); // closed first
        const std::string text = answer(*engine, *session, argv[2]) + '\n';
        if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() ||
            std::fflush(stdout) != 0)
            throw std::runtime_error("cannot write the answer");
    } catch (const failure &error) {
        std::fprintf(stderr, "minimal_cpp: %s\n", error.what());
        return error.status;
    } catch (const std::exception &error) {
        std::fprintf(stderr, "minimal_cpp: %s\n", error.what());
        return EDGELLM_ERR_INTERNAL;
    }
    return 0;
}
