//! Names of model providers, from what frameworks and people call them to what the conventions call them (GenAI semantic
//! conventions, `gen_ai.provider.name`).

use std::borrow::Cow;

/// The conventions' name for a provider; one that they do not list keeps its own, in lower case.
pub(super) fn normalised(name: &str) -> Cow<'_, str> {
    let trimmed = name.trim();
    // `azure_openai`, `Azure OpenAI`, `azure-openai-chat` and `AzureChatOpenAI` differ in what is dropped here.
    let squashed: String = trimmed
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|letter| letter.to_ascii_lowercase())
        .take(48)
        .collect();
    let known = match squashed.as_str() {
        "openai" | "openaichat" | "openaillm" | "chatopenai" | "openairesponses" => "openai",
        "azure" | "azureopenai" | "azureopenaichat" | "azurechatopenai" | "azureopenaillm" | "azopenai"
        | "azaiopenai" | "azureaiopenai" => "azure.ai.openai",
        "azureai" | "azureaiinference" | "azaiinference" | "azureinference" => "azure.ai.inference",
        "anthropic" | "anthropicchat" | "chatanthropic" | "anthropicllm" | "claude" => "anthropic",
        "bedrock"
        | "awsbedrock"
        | "amazonbedrock"
        | "amazonbedrockchat"
        | "amazonbedrockconversechat"
        | "anthropicbedrock"
        | "bedrockconverse"
        | "chatbedrock"
        | "chatbedrockconverse"
        | "bedrockllm" => "aws.bedrock",
        "gemini"
        | "gcpgemini"
        | "googlegenai"
        | "googlegenerativeai"
        | "chatgooglegenerativeai"
        | "googleai"
        | "googleaistudio"
        | "googlegemini" => "gcp.gemini",
        "vertex" | "vertexai" | "gcpvertexai" | "googlevertexai" | "chatvertexai" | "googlevertex" => "gcp.vertex_ai",
        "google" | "gcpgenai" => "gcp.gen_ai",
        "cohere" | "coherechat" | "chatcohere" => "cohere",
        "deepseek" | "deepseekchat" | "chatdeepseek" => "deepseek",
        "groq" | "groqchat" | "chatgroq" => "groq",
        "ibm" | "watsonx" | "ibmwatsonx" | "ibmwatsonxai" | "watsonxai" | "chatwatsonx" => "ibm.watsonx.ai",
        "mistral" | "mistralai" | "mistralaichat" | "chatmistralai" => "mistral_ai",
        "moonshot" | "moonshotai" | "kimi" => "moonshot_ai",
        "perplexity" | "perplexitychat" | "chatperplexity" => "perplexity",
        "xai" | "xaichat" | "chatxai" => "x_ai",
        "ollama" | "ollamachat" | "chatollama" | "ollamallm" => "ollama",
        "together" | "togetherai" | "togetherchat" => "together_ai",
        "fireworks" | "fireworksai" | "fireworkschat" | "chatfireworks" => "fireworks",
        "huggingface" | "huggingfacehub" | "huggingfacechatwrapper" | "chathuggingface" => "huggingface",
        _ if trimmed.bytes().any(|byte| byte.is_ascii_uppercase()) => return Cow::Owned(trimmed.to_ascii_lowercase()),
        _ => return Cow::Borrowed(trimmed),
    };
    Cow::Borrowed(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_spellings_become_the_conventions_name_and_others_stay() {
        let table = [
            ("OpenAI", "openai"),
            ("openai-chat", "openai"),
            ("Azure OpenAI", "azure.ai.openai"),
            ("azure-openai-chat", "azure.ai.openai"),
            ("az.ai.inference", "azure.ai.inference"),
            ("anthropic-chat", "anthropic"),
            ("anthropic-bedrock", "aws.bedrock"),
            ("amazon_bedrock_converse_chat", "aws.bedrock"),
            ("aws.bedrock", "aws.bedrock"),
            ("google_genai", "gcp.gemini"),
            ("chat-google-generative-ai", "gcp.gemini"),
            ("google_vertexai", "gcp.vertex_ai"),
            ("vertex_ai", "gcp.vertex_ai"),
            ("gcp.gen_ai", "gcp.gen_ai"),
            ("mistral", "mistral_ai"),
            ("mistralai-chat", "mistral_ai"),
            ("xai", "x_ai"),
            ("chat-ollama", "ollama"),
            (" MyGateway ", "mygateway"),
            ("ähnlich", "ähnlich"),
        ];
        for (given, expected) in table {
            assert_eq!(normalised(given), expected, "{given}");
        }
    }
}
