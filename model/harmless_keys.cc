#include "model/harmless_keys.h"

namespace ziprl {

std::span<const std::string_view> HarmlessConfigKeys() {
  static constexpr std::string_view kKeys[] = {
      // Where it comes from and what for.
      "architectures", "auto_map", "finetuning_task", "id2label", "label2id", "model_type",
      "problem_type", "task_specific_params", "tokenizer_class", "transformers_version",
      "unsloth_fixed", "unsloth_version",
      // What a call returns, and how it is run.
      "attn_implementation", "chunk_size_feed_forward", "output_attentions", "output_hidden_states",
      "return_dict", "torchscript", "use_bfloat16", "use_cache", "is_decoder", "is_encoder_decoder",
      "add_cross_attention", "tie_encoder_decoder", "tf_legacy_loss",
      // How weights were stored and made.
      "dtype", "torch_dtype", "initializer_range", "tie_word_embeddings",
      // Tokens, where nothing reads them.
      "bos_token_id", "decoder_start_token_id", "eos_token_id", "pad_token_id", "prefix",
      "sep_token_id", "vision_token_id",
      // Tokens of the whole model, which releases in between repeated in the text model's object.
      "image_token_id", "video_token_id", "vision_end_token_id", "vision_start_token_id",
      // Generation settings, which older releases kept here.
      "bad_words_ids", "begin_suppress_tokens", "diversity_penalty", "do_sample", "early_stopping",
      "encoder_no_repeat_ngram_size", "exponential_decay_length_penalty", "forced_bos_token_id",
      "forced_eos_token_id", "length_penalty", "max_length", "min_length", "no_repeat_ngram_size",
      "num_beam_groups", "num_beams", "num_return_sequences", "output_scores",
      "remove_invalid_values", "repetition_penalty", "return_dict_in_generate", "suppress_tokens",
      "temperature", "top_k", "top_p", "typical_p"};
  return kKeys;
}

}  // namespace ziprl
