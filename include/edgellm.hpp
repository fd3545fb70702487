/*
 * edgellm.hpp: edgellm.h for C++17 and later: what was opened closes itself, a failure is an
 * exception, texts and token lists are the standard library's. Header only; link with libedgellm.
 * What functions do, and when they fail, edgellm.h says.
 *
 *   edgellm::engine engine("model.tm2.bin");
 *   edgellm::session session(engine);
 *   session.answer(engine.chat_prompt({{"user", "Why is the sky blue?"}}), 100,
 *                  [](std::string_view text) { std::cout << text << std::flush; return true; });
 *
 * An engine may be used by several threads at once and must outlive its sessions and grammars; a
 * session has one owner.
 */
#ifndef EDGELLM_HPP
#define EDGELLM_HPP

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <edgellm.h>

namespace edgellm
{

using tokens = std::vector<std::uint32_t>;

struct error : std::runtime_error {
    error(edgellm_status code, const char *message) : std::runtime_error(message), status(code)
    {
    }
    edgellm_status status;
};

namespace detail
{

/* Calls a function of edgellm.h whose last argument is the error. */
template <typename Function, typename... Arguments>
void call(Function function, Arguments... arguments)
{
    edgellm_error err;
    const edgellm_status status = function(arguments..., &err);
    if (status != EDGELLM_OK) throw error(status, err.message);
}

struct closer {
    void operator()(edgellm_engine *engine) const noexcept
    {
        edgellm_engine_close(engine);
    }
    void operator()(edgellm_session *session) const noexcept
    {
        edgellm_session_close(session);
    }
    void operator()(edgellm_grammar *grammar) const noexcept
    {
        edgellm_grammar_destroy(grammar);
    }
};

} // namespace detail

struct message {
    std::string role, content;
};

class engine
{
  public:
    explicit engine(const std::string &path, const edgellm_engine_options &options = {})
    {
        edgellm_engine *opened = nullptr;
        detail::call(edgellm_engine_open, path.c_str(), &options, &opened);
        handle_.reset(opened);
    }

    edgellm_engine *get() const noexcept
    {
        return handle_.get();
    }

    edgellm_model_info info() const
    {
        edgellm_model_info found;
        edgellm_engine_info(get(), &found);
        return found;
    }

    /* flags: edgellm_tokenize_flags */
    tokens tokenize(std::string_view text, unsigned flags = EDGELLM_TOKENIZE_PLAIN) const
    {
        return counted([&](std::uint32_t *room, std::size_t capacity, std::size_t *count) {
            detail::call(edgellm_tokenize, get(), text.data(), text.size(), flags, room, capacity,
                         count);
        });
    }

    std::string detokenize(const tokens &ids, bool special = false) const
    {
        std::size_t length = 0;
        detail::call(edgellm_detokenize, get(), ids.data(), ids.size(), special, nullptr,
                     std::size_t{0}, &length);
        std::string text(length, '\0');
        detail::call(edgellm_detokenize, get(), ids.data(), ids.size(), special, text.data(),
                     text.size(), &length);
        return text;
    }

    /* flags: edgellm_chat_flags */
    tokens chat_prompt(const std::vector<message> &messages,
                       unsigned flags = EDGELLM_CHAT_OPEN_ANSWER) const
    {
        std::vector<edgellm_message> given;
        given.reserve(messages.size());
        for (const message &m : messages)
            given.push_back({m.role.c_str(), m.content.c_str()});
        return counted([&](std::uint32_t *room, std::size_t capacity, std::size_t *count) {
            detail::call(edgellm_chat_prompt, get(), given.data(), given.size(), flags, room,
                         capacity, count);
        });
    }

    bool is_end(std::uint32_t token) const noexcept
    {
        return edgellm_is_end(get(), token);
    }

  private:
    /* Asked twice: how many tokens, then which. */
    template <typename Ask> static tokens counted(Ask ask)
    {
        std::size_t count = 0;
        ask(nullptr, 0, &count);
        tokens ids(count);
        ask(ids.data(), count, &count);
        return ids;
    }

    std::unique_ptr<edgellm_engine, detail::closer> handle_;
};

/* The engine was opened with `grammars`. */
class grammar
{
  public:
    grammar(const engine &of, std::string_view gbnf)
    {
        edgellm_grammar *made = nullptr;
        detail::call(edgellm_grammar_create, of.get(), gbnf.data(), gbnf.size(), &made);
        handle_.reset(made);
    }

    const edgellm_grammar *get() const noexcept
    {
        return handle_.get();
    }

  private:
    std::unique_ptr<edgellm_grammar, detail::closer> handle_;
};

class session
{
  public:
    explicit session(const engine &on, const edgellm_session_options &options = {})
        : engine_(on.get())
    {
        edgellm_session *opened = nullptr;
        detail::call(edgellm_session_open, on.get(), &options, &opened);
        handle_.reset(opened);
    }

    edgellm_session *get() const noexcept
    {
        return handle_.get();
    }

    void eval(const tokens &ids)
    {
        detail::call(edgellm_session_eval, get(), ids.data(), ids.size(), nullptr);
    }

    std::uint32_t choose()
    {
        std::uint32_t token = 0;
        detail::call(edgellm_session_choose, get(), &token);
        return token;
    }

    /* (info().vocab); valid until the next call */
    const float *logits() const noexcept
    {
        return edgellm_session_logits(get());
    }

    std::uint32_t position() const noexcept
    {
        return edgellm_session_position(get());
    }

    edgellm_memory_plan memory() const noexcept
    {
        edgellm_memory_plan plan;
        edgellm_session_plan(get(), &plan);
        return plan;
    }

    void truncate(std::uint32_t position)
    {
        detail::call(edgellm_session_truncate, get(), position);
    }

    /* How many tokens were dropped. */
    std::uint32_t shift(std::uint32_t keep)
    {
        std::uint32_t dropped = 0;
        detail::call(edgellm_session_shift, get(), keep, &dropped);
        return dropped;
    }

    void set_sampler(const edgellm_sampler_options &options)
    {
        detail::call(edgellm_session_set_sampler, get(), &options);
    }

    /* nullptr: to no grammar. It must outlive the answer. */
    void set_grammar(const grammar *kept_to, std::uint32_t max_tokens)
    {
        detail::call(edgellm_session_set_grammar, get(), kept_to ? kept_to->get() : nullptr,
                     max_tokens);
    }

    /* Measures what computing takes here, in some `budget_ns`; forecasts and deadlines go by it
     * from then on. */
    void calibrate(std::uint64_t budget_ns)
    {
        edgellm_costs costs;
        detail::call(edgellm_session_calibrate, get(), budget_ns, &costs);
        detail::call(edgellm_session_set_costs, get(), &costs);
    }

    edgellm_forecast forecast(std::uint32_t prompt_tokens, std::uint32_t answer_tokens,
                              double within_ns = 0) const
    {
        edgellm_forecast found;
        detail::call(edgellm_session_forecast, get(), prompt_tokens, answer_tokens, within_ns,
                     &found);
        return found;
    }

    /* A time of CLOCK_MONOTONIC in nanoseconds; 0: none. */
    void set_deadline(std::uint64_t deadline_ns) noexcept
    {
        edgellm_session_set_deadline(get(), deadline_ns);
    }

    void save(const std::string &path) const
    {
        detail::call(edgellm_session_save, get(), path.c_str(), nullptr, std::size_t{0});
    }

    void load(const std::string &path)
    {
        detail::call(edgellm_session_load, get(), path.c_str());
    }

    /*
     * Computes the prompt and gives the answer's text to `take`, whole characters at a time, until
     * the model ends it, it has max_tokens, the context is full, the deadline is near, or `take`
     * returns false.
     */
    template <typename Take> void answer(const tokens &prompt, std::size_t max_tokens, Take take)
    {
        edgellm_stream stream = {};
        char text[EDGELLM_STREAM_BYTES];
        eval(prompt);
        for (std::size_t made = 1; made <= max_tokens; made++) {
            const std::uint32_t token = choose();
            if (edgellm_is_end(engine_, token)) break;
            const std::size_t length = edgellm_stream_push(engine_, &stream, token, text);
            if (length > 0 && !take(std::string_view(text, length))) return;
            if (made == max_tokens || !goes_on(token)) break;
        }
        const std::size_t length = edgellm_stream_flush(&stream, text);
        if (length > 0) take(std::string_view(text, length));
    }

    std::string answer(const tokens &prompt, std::size_t max_tokens)
    {
        std::string whole;
        answer(prompt, max_tokens, [&whole](std::string_view text) {
            whole.append(text);
            return true;
        });
        return whole;
    }

  private:
    bool goes_on(std::uint32_t token)
    {
        edgellm_error err;
        const edgellm_status status = edgellm_session_eval(get(), &token, 1, nullptr, &err);
        if (status == EDGELLM_ERR_CONTEXT || status == EDGELLM_ERR_DEADLINE) return false;
        if (status != EDGELLM_OK) throw error(status, err.message);
        return true;
    }

    edgellm_engine *engine_;
    std::unique_ptr<edgellm_session, detail::closer> handle_;
};

/* Every byte that a session on this file will need, without loading its weights. */
inline edgellm_memory_plan plan(const std::string &path,
                                const edgellm_session_options &options = {})
{
    edgellm_memory_plan found;
    detail::call(edgellm_plan, path.c_str(), &options, &found);
    return found;
}

} // namespace edgellm

#endif
