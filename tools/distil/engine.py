"""What of the engine's C interface (include/edgellm.h) is needed here: tokens and chat layouts."""
import ctypes

OPEN_ANSWER, CONTINUE = 1, 2


class Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("message", ctypes.c_char * 480)]


class Message(ctypes.Structure):
    _fields_ = [("role", ctypes.c_char_p), ("content", ctypes.c_char_p)]


class Engine:
    def __init__(self, library, model):
        self.library, self.handle, self.error = ctypes.CDLL(library), ctypes.c_void_p(), Error()
        self.library.edgellm_is_end.restype = ctypes.c_bool
        self._must(self.library.edgellm_engine_open(
            model.encode(), None, ctypes.byref(self.handle), ctypes.byref(self.error)))

    def _must(self, status):
        if status:
            raise RuntimeError(self.error.message.decode())

    def _ids(self, call, *arguments):
        """Runs a call that ends with tokens, capacity, count and error, with room enough."""
        room, count = 1024, ctypes.c_size_t()
        while True:
            tokens = (ctypes.c_uint32 * room)()
            self._must(call(self.handle, *arguments, tokens, ctypes.c_size_t(room),
                            ctypes.byref(count), ctypes.byref(self.error)))
            if count.value <= room:
                return list(tokens[:count.value])
            room = count.value

    def tokens(self, text):
        data = text.encode()
        return self._ids(self.library.edgellm_tokenize, data, ctypes.c_size_t(len(data)),
                         ctypes.c_uint(0))

    def chat(self, messages, flags):
        """messages: pairs of role and content."""
        array = (Message * max(len(messages), 1))(
            *[Message(role.encode(), content.encode()) for role, content in messages])
        return self._ids(self.library.edgellm_chat_prompt, array, ctypes.c_size_t(len(messages)),
                         ctypes.c_uint(flags))

    def is_end(self, token):
        return self.library.edgellm_is_end(self.handle, ctypes.c_uint32(token))
